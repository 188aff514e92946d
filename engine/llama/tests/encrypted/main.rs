//! The decoder over the clear evaluator against the float reference.

#[path = "../model/fixture.rs"]
#[allow(dead_code, reason = "the tests of the float side use the rest")]
mod fixture;

mod agreement;
mod context;
mod counts;
mod decoding;
mod fetched;
mod per_row;
mod prefix;
mod refusals;
mod support;
mod trained;
