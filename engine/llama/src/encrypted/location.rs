//! Names the place in the model where a circuit or an evaluator refuses.

use fhe_circuits::CircuitError;
use fhe_ckks::CkksError;

use crate::error::{Error, Result};
use crate::float::Location;

/// Adds the place in the model to what a circuit or an evaluator refuses.
pub(super) trait At<T> {
    fn at(self, location: Location) -> Result<T>;
}

impl<T> At<T> for std::result::Result<T, CircuitError> {
    fn at(self, location: Location) -> Result<T> {
        self.map_err(|source| Error::Circuit { location, source: Box::new(source) })
    }
}

impl<T> At<T> for std::result::Result<T, CkksError> {
    fn at(self, location: Location) -> Result<T> {
        self.map_err(|source| Error::Circuit { location, source: Box::new(source.into()) })
    }
}
