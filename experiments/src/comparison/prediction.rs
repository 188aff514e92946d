//! What metering predicts of single operations: counts of the same code without data, times a device's constants.

use crate::error::HarnessError;
use crate::spec::nearest;
use fhe_ckks::{
    CkksClient, CkksError, CkksServer, Client, Copies, Evaluator, Level, Parameters, Rotation, SlotArithmetic,
    bootstrap, sparse_bootstrap,
};
use fhe_ring::{Counts, DeviceProfile, Meter, Seed};
use serde_json::json;
use std::sync::Arc;

/// Limbs of the ciphertexts of single operations, as everywhere in the comparison.
const LIMBS: usize = 10;
/// Half bootstraps of one call, which share the keys they read.
const BATCH: usize = 4;
/// Copies that leave 2^10 of 2^15 complex slots.
const COPIES: Copies = Copies(32);

/// Predicts the operations of a comparison: one JSON object a line, in the form in which peers print measurements.
///
/// # Errors
/// A name that no parameter set or device has, or a circuit that cannot be metered.
pub fn predict(parameters: &str, device: &str) -> Result<Vec<String>, HarnessError> {
    let profile = DeviceProfile::named(device).ok_or_else(|| {
        let known: Vec<String> = DeviceProfile::ALL.map(|profile| profile.name.to_string()).into();
        let nearest = nearest(device, known.iter().map(String::as_str)).map(str::to_string);
        HarnessError::UnknownName { kind: "device profile", name: device.into(), nearest, known }
    })?;
    let parameters = crate::params::named(parameters)?;
    let metered = meter(&parameters).map_err(|source| HarnessError::execution("meter the operations", source))?;
    let line = |(operation, counts): (&str, Counts)| {
        let seconds = profile.predict(&counts);
        let row = json!({
            "operation": operation,
            "seconds": { "median": seconds, "min": seconds, "max": seconds },
            "note": format!("device profile {}", profile.name),
        });
        row.to_string()
    };
    Ok(metered.into_iter().map(line).collect())
}

/// What each operation executes on a backend that only counts.
fn meter(parameters: &Parameters) -> Result<Vec<(&'static str, Counts)>, CkksError> {
    let meter = || Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let server = CkksServer::planning(meter(), parameters.clone())?;
    // Secrets without data: the seed stands for nothing.
    let client = CkksClient::new(meter(), parameters.clone(), &Seed::from_bytes([0; 32]))?;
    let shape = parameters.shape().clone();
    let zeros = vec![0.0; shape.degree];
    // Peers compute on complex slots. Converting to them takes a level.
    let complex = |level: usize| server.to_complex(&client.encrypt_slots(&zeros, Level(level + 1))?);
    let operand = complex(LIMBS - 1)?;
    let lowest = complex(shape.slots_to_coefficients_levels)?;
    let sparse_slots = client.encrypt_slots(&zeros, Level(shape.slots_to_coefficients_levels))?;
    let coefficients = client.encrypt(&zeros, shape.full_scale)?;
    let levels = shape.compute_levels;

    let mut metered = Vec::new();
    let mut count = |operation, run: &dyn Fn() -> Result<(), CkksError>| {
        let before = server.backend().counts();
        run()?;
        metered.push((operation, server.backend().counts() - before));
        Ok::<(), CkksError>(())
    };
    count("multiply-relinearise-rescale", &|| server.multiply(&operand, &operand).map(drop))?;
    count("rotate", &|| server.rotate(&operand, Rotation(1)).map(drop))?;
    count("bootstrap-half", &|| server.half_bootstrap(&[&coefficients], levels).map(drop))?;
    count("bootstrap-half-batch4", &|| server.half_bootstrap(&[&coefficients; BATCH], levels).map(drop))?;
    // The first run of either encodes factors that the half bootstrap does not need.
    let full = || bootstrap(&server, &[&lowest], levels).map(drop);
    full()?;
    count("bootstrap-full", &full)?;
    let sparse = || sparse_bootstrap(&server, &[&sparse_slots], COPIES, levels).map(drop);
    sparse()?;
    count("bootstrap-sparse", &sparse)?;
    Ok(metered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_predicted() {
        let lines = predict("n16-llama", "zen4-1-thread").unwrap();
        let seconds = |operation: &str| {
            let rows = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let row = rows.into_iter().find(|row| row["operation"] == operation).unwrap();
            row["seconds"]["median"].as_f64().unwrap()
        };
        assert!(seconds("rotate") > 0.0);
        assert!(seconds("rotate") < seconds("bootstrap-half"));
        assert!(seconds("bootstrap-half") < seconds("bootstrap-half-batch4"));
        assert!(seconds("bootstrap-half") < seconds("bootstrap-full"));
        assert!(seconds("bootstrap-sparse") < seconds("bootstrap-full"));
    }

    #[test]
    fn rejects_unknown_names() {
        let error = predict("n16-llama", "zen4-1-threads").unwrap_err().to_string();
        assert!(error.contains("did you mean `zen4-1-thread`?"), "{error}");
        assert!(predict("n16-lama", "zen4-1-thread").unwrap_err().to_string().contains("n16-llama"));
    }
}
