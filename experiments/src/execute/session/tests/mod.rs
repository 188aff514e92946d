//! Sessions in one process: frames that are doctored on the way, and a whole conversation beside one without a wire.

mod conversation;
mod frames;
