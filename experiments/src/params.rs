//! `fhe-llama params`: a parameter set with its security, levels, claims and memory ledger.

use std::fmt::Write;
use std::sync::Arc;

use fhe_ckks::parameters::PARAMETER_SETS;
use fhe_ckks::{CkksClient, CkksServer, Client, Evaluator, Level, Parameters};
use fhe_ring::{Meter, Seed};
use fhe_rlwe::security::{SECURITY_BITS, SECURITY_SOURCE, max_log2_modulus};

use crate::error::HarnessError;
use crate::format::bytes;
use crate::spec::nearest;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("describe the parameters", error)
}

/// Everything about a named set, derived from its definition and from metering one bootstrap.
///
/// # Errors
/// An unknown name, with the names there are.
pub fn describe(name: &str) -> Result<String, HarnessError> {
    let parameters = named(name)?;
    let (set, shape, rlwe) = (parameters.set(), parameters.shape(), parameters.rlwe());
    let chain = rlwe.chain();
    let everything = rlwe.ciphertext_basis().with_special(rlwe.special_count());
    let mut text = String::new();
    let mut line = |label: &str, value: String| writeln!(text, "{label:<34}{value}").map_err(failed);

    line("parameter set", set.name.to_owned())?;
    line("fingerprint", rlwe.fingerprint().short())?;
    line("ring", format!("{}: {} real coefficients or real slots", rlwe.ring(), shape.degree))?;
    line(
        "primes",
        format!(
            "q0 {} | SlotsToCoeffs {} x {} | compute {} x {} | EvalMod {} x {} | CoeffsToSlots {} x {} | special {} x {} bits",
            set.base_bits,
            shape.slots_to_coefficients_levels,
            set.compute_bits,
            set.compute_levels,
            set.compute_bits,
            parameters.eval_mod_levels(),
            set.bootstrap_bits,
            set.coefficients_to_slots.len(),
            set.bootstrap_bits,
            set.special_primes,
            set.bootstrap_bits,
        ),
    )?;
    line("log2 PQ", format!("{:.1} over {} primes", chain.log2(everything), everything.len()))?;
    let digits = rlwe.spec().gadget_groups.iter().map(|group| group.len().to_string()).collect::<Vec<_>>().join(" + ");
    line(
        "gadget",
        format!(
            "digits of {digits} primes, {} special primes ({} at the levels of SlotsToCoeffs)",
            set.special_primes, set.low_special_primes
        ),
    )?;
    line(
        "levels after a half bootstrap",
        format!("{} compute + {} SlotsToCoeffs", set.compute_levels, shape.slots_to_coefficients_levels),
    )?;
    line(
        "CoeffsToSlots",
        format!(
            "{} butterfly layers on the raise, then factors of {:?}; SlotsToCoeffs in factors of {:?}",
            set.raise_layers, set.coefficients_to_slots, set.slots_to_coefficients
        ),
    )?;
    line(
        "EvalMod",
        format!(
            "|I| <= {}, even cosine of degree {}, {} double angles, message ratio 2^-{}",
            set.range, set.cosine_degree, set.double_angles, set.message_ratio_bits
        ),
    )?;
    line("claimed precision, half bootstrap", claim(set.claims.mean_bits, set.claims.worst_bits))?;
    line(
        "failure probability",
        format!("2^{:.0} per half bootstrap (|I| > K in any coefficient)", parameters.failure_log2(1)),
    )?;

    let plan = Plan::of(&parameters)?;
    writeln!(text, "\nsecurity: {}", if set.insecure { "NONE, a small test ring" } else { SECURITY_SOURCE })
        .map_err(failed)?;
    writeln!(text, "{:<36} {:>9} {:>15}   secret", "key", "log2 PQ", "<= for 128 bits").map_err(failed)?;
    for (key, modulus, allowed, secret) in &plan.security {
        // No modulus is small enough for a ring below the tables.
        let allowed = if *allowed > 0.0 { format!("{allowed:.1}") } else { "none".into() };
        writeln!(text, "{key:<36} {modulus:>9.1} {allowed:>15}   {secret}").map_err(failed)?;
    }
    if !set.insecure {
        writeln!(text, "every key reaches {SECURITY_BITS} bits at its own modulus and degree").map_err(failed)?;
    }
    writeln!(
        text,
        "\nmemory of one bootstrapping circuit (SlotsToCoeffs, half bootstrap to {} levels)",
        set.compute_levels
    )
    .map_err(failed)?;
    for (label, size) in [
        ("evaluation keys", plan.key_bytes),
        ("encoded tables", plan.table_bytes),
        ("working peak beside them", plan.peak_bytes.saturating_sub(plan.key_bytes + plan.table_bytes)),
    ] {
        writeln!(text, "{label:<34}{}", bytes(size)).map_err(failed)?;
    }
    Ok(text)
}

/// The parameter set of that name.
///
/// # Errors
/// [`HarnessError::UnknownName`] with the nearest name.
pub fn named(name: &str) -> Result<Parameters, HarnessError> {
    let known = PARAMETER_SETS.map(|set| set.name);
    if !known.contains(&name) {
        return Err(HarnessError::UnknownName {
            kind: "parameter set (engine.parameters)",
            name: name.into(),
            nearest: nearest(name, known).map(str::to_string),
            known: known.map(str::to_string).into(),
        });
    }
    Parameters::named(name).map_err(|error| HarnessError::execution(format!("set up the parameters {name}"), error))
}

fn claim(mean: f64, worst: f64) -> String {
    format!("mean error <= 2^-{mean}, largest <= 2^-{worst} of the range (uniform coefficients)")
}

/// What metering a bootstrap says.
struct Plan {
    security: Vec<(String, f64, f64, &'static str)>,
    key_bytes: u64,
    table_bytes: u64,
    peak_bytes: u64,
}

impl Plan {
    fn of(parameters: &Parameters) -> Result<Self, HarnessError> {
        let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
        let server = CkksServer::planning(Arc::clone(&meter), parameters.clone()).map_err(failed)?;
        let table_bytes = meter.live_bytes();
        let client =
            CkksClient::new(Arc::clone(&meter), parameters.clone(), &Seed::from_bytes([0; 32])).map_err(failed)?;
        let shape = parameters.shape();
        let slots = client
            .encrypt_slots(&vec![0.0; shape.degree], Level(shape.slots_to_coefficients_levels))
            .map_err(failed)?;
        let coefficients = server.slots_to_coefficients(&slots, shape.full_scale).map_err(failed)?;
        server.half_bootstrap(&[&coefficients], shape.compute_levels).map_err(failed)?;
        let fresh = client.encrypt(&vec![0.0; shape.degree], 1.0).map_err(failed)?;
        let rows = server.module_rows(&[&fresh], 1 << (parameters.set().small_log_degree / 2)).map_err(failed)?;
        server.pack_rows(&rows).map_err(failed)?;

        let mut security: Vec<(String, f64, f64, &'static str)> = Vec::new();
        for (id, key) in server.key_requests().iter() {
            let (ring, distribution) = parameters.rlwe().secret(id.target());
            let modulus = parameters.rlwe().chain().log2(key.basis());
            let kind = id.kind();
            let row = (kind.to_owned(), modulus, max_log2_modulus(ring.log_degree, distribution), distribution.name());
            match security.iter_mut().find(|(known, ..)| *known == kind) {
                Some(known) if known.1 < modulus => *known = row,
                Some(_) => {}
                None => security.push(row),
            }
        }
        Ok(Self { security, key_bytes: server.key_bytes() as u64, table_bytes, peak_bytes: meter.peak_bytes() })
    }
}
