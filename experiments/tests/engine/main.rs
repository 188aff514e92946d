//! The program with its real engine, on a small insecure ring and a model folder that nothing else has seen.

mod approximations;
mod chat;
mod context;
mod device;
mod generation;
mod model;
mod modes;
mod public_prefix;
mod refusals;
mod resumption;
mod shape;
mod softmax;
mod stage;
mod sweep;
mod windows;
