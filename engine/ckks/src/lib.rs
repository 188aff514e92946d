//! CKKS (being assembled).

mod counts;
mod error;
mod evaluator;
mod shape;

pub use counts::OperationCounts;
pub use error::CkksError;
pub use evaluator::{Client, Evaluator, Level, Rotation};
pub use fhe_ring::{IntegerMatrix, MatrixShape};
pub use shape::CircuitShape;
