//! What can go wrong on the way from a model to an encrypted run of it.

use fhe_circuits::CircuitError;
use fhe_ckks::CkksError;

use crate::float::Location;

/// Errors of the encrypted decoder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A circuit refused at some place of the model.
    #[error("{location}: {source}")]
    Circuit {
        /// Layer and site.
        location: Location,
        /// What was refused.
        source: Box<CircuitError>,
    },
    /// The parameter set has fewer levels than the circuit needs at some place of the model.
    #[error(
        "{location}: the circuit needs {found} levels after its half bootstrap, the parameter set leaves {required}; \
         use a larger set, or a tolerance or mitigation that allows lower degrees"
    )]
    Levels {
        /// Layer and site.
        location: Location,
        /// Levels needed.
        found: usize,
        /// Levels there are.
        required: usize,
    },
    /// A tensor between two products would wrap around modulo the lowest prime.
    #[error(
        "{location}: values up to {found:.4} do not fit below q_0 / 2 at the unit that the weights ask for, \
         at most {required:.4} do; calibrate again, or use an outlier mitigation"
    )]
    Headroom {
        /// Layer and site.
        location: Location,
        /// The calibrated bound.
        found: f64,
        /// The bound that fits.
        required: f64,
    },
    /// The ranges belong to a model of another depth.
    #[error("the ranges describe {found} layers, the model has {required}; calibrate this model")]
    Ranges {
        /// Layers in the ranges.
        found: usize,
        /// Layers of the model.
        required: usize,
    },
    /// A layer beyond the model's depth was asked for.
    #[error("layer {found} asked for, the model has layers 0..{layers}")]
    Layer {
        /// The layer asked for.
        found: usize,
        /// The number of layers.
        layers: usize,
    },
    /// The model itself refused.
    #[error(transparent)]
    Model(#[from] crate::Error),
}

/// Results of the encrypted decoder.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
