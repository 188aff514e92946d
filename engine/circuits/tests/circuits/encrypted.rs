//! An encrypted instance of a named parameter set, and slots in and out of either evaluator.

use std::sync::Arc;

use fhe_circuits::crossing::climb_corrected;
use fhe_ckks::{CkksClient, CkksServer, Clear, ClearSlots, Client, Level, Parameters, SlotArithmetic, SlotCiphertext};
use fhe_ring::{Backend, Cpu, Meter, Seed};

/// Who brings numbers into slots of an evaluator, and reads them.
pub(crate) trait SlotClient<E: SlotArithmetic> {
    /// Real slots at a level.
    fn slots(&self, e: &E, values: &[f64], level: usize) -> E::Slots;
    /// Numbers in real slots; none where there is no data.
    fn numbers(&self, slots: &E::Slots) -> Vec<f64>;
}

impl SlotClient<Clear> for Clear {
    fn slots(&self, e: &Clear, values: &[f64], level: usize) -> ClearSlots {
        let shape = e.shape();
        let coefficients: Vec<f64> = (0..shape.degree).map(|p| values[shape.slot_of_coefficient(p)]).collect();
        let encrypted = e.encrypt(&coefficients, shape.full_scale).unwrap();
        climb_corrected(e, &[encrypted], level - shape.slots_to_coefficients_levels).unwrap().remove(0)
    }

    fn numbers(&self, slots: &ClearSlots) -> Vec<f64> {
        slots.values().iter().map(|value| value.re).collect()
    }
}

impl<B: Backend> SlotClient<CkksServer<B>> for CkksClient<B> {
    fn slots(&self, _: &CkksServer<B>, values: &[f64], level: usize) -> SlotCiphertext<B> {
        self.encrypt_slots(values, Level(level)).unwrap()
    }

    fn numbers(&self, slots: &SlotCiphertext<B>) -> Vec<f64> {
        self.decrypt_slots(slots).unwrap().unwrap_or_default()
    }
}

/// Secrets of a named set.
pub(crate) struct Instance {
    pub(crate) parameters: Parameters,
    backend: Arc<Cpu>,
    pub(crate) client: CkksClient<Cpu>,
}

impl Instance {
    pub(crate) fn new(name: &str) -> Self {
        let parameters = Parameters::named(name).unwrap();
        let backend = Arc::new(Cpu::new(parameters.rlwe().chain().clone()));
        let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &Seed::from_bytes([7; 32])).unwrap();
        Self { parameters, backend, client }
    }

    /// A server without data, and its client, on which to run a circuit first.
    pub(crate) fn planner(&self) -> (CkksServer<Meter>, CkksClient<Meter>) {
        let meter = Arc::new(Meter::new(self.parameters.rlwe().chain().clone()));
        let client = CkksClient::new(Arc::clone(&meter), self.parameters.clone(), &Seed::from_bytes([0; 32])).unwrap();
        (CkksServer::planning(meter, self.parameters.clone()).unwrap(), client)
    }

    /// The server with the keys that the planner was asked for.
    pub(crate) fn server(&self, planner: &CkksServer<Meter>) -> CkksServer<Cpu> {
        let keys = self.client.evaluation_keys(&planner.key_requests(), |_| ()).unwrap();
        CkksServer::new(Arc::clone(&self.backend), self.parameters.clone(), keys).unwrap()
    }
}
