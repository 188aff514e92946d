//! Half and full bootstrapping of a small insecure set: the same words as on the CPU.

use std::sync::Arc;

use fhe_ckks::{
    CkksClient, CkksServer, Client, Evaluator, Level, Parameters, SlotArithmetic, SlotCiphertext, bootstrap,
};
use fhe_cuda::Cuda;
use fhe_ring::{Backend, Cpu, Meter, Seed};

use crate::emulated::{SEED, THREADS, driver, emulated};

/// Every word of a half and of a full bootstrap. The same seed gives the same keys and ciphertexts on any backend.
struct Program<B: Backend> {
    backend: Arc<B>,
    client: CkksClient<B>,
}

impl<B: Backend> Program<B> {
    fn new(backend: B, parameters: &Parameters) -> Self {
        let backend = Arc::new(backend);
        let client = CkksClient::new(Arc::clone(&backend), parameters.clone(), &Seed::from_bytes([7; 32]));
        Self { backend, client: client.expect("secrets") }
    }

    fn run(&self, server: &CkksServer<B>) -> [SlotCiphertext<B>; 2] {
        let shape = server.shape();
        let values: Vec<f64> = (0..shape.degree).map(|i| (i as f64 * 0.7).sin()).collect();
        let coefficients = self.client.encrypt(&values, shape.full_scale).expect("coefficients");
        let slots = self.client.encrypt_slots(&values, Level(shape.slots_to_coefficients_levels)).expect("slots");
        let half = server.half_bootstrap(&[&coefficients], shape.compute_levels).expect("half bootstrap").remove(0);
        let full = bootstrap(server, &[&slots], shape.compute_levels).expect("full bootstrap").remove(0);
        [half, full]
    }

    /// With the keys that a planner found.
    fn words(&self, planner: &CkksServer<Meter>) -> Vec<Vec<u64>> {
        let keys = self.client.evaluation_keys(&planner.key_requests(), |_| ()).expect("keys");
        let parameters = planner.parameters().clone();
        let server = CkksServer::new(Arc::clone(&self.backend), parameters, keys).expect("server");
        let results = self.run(&server);
        let halves = results.iter().flat_map(|result| result.ciphertext().halves());
        halves.map(|half| half.download(&self.backend).expect("data")).collect()
    }
}

#[test]
#[ignore = "needs the emulated driver: scripts/cuda-emulator-test"]
fn gives_the_words_of_the_cpu() {
    emulated("bootstrapping::gives_the_words_of_the_cpu", &[&[(THREADS, "2")], &[(SEED, "1")]], || {
        let parameters = Parameters::named("n11-toy").expect("a named set");
        let chain = parameters.rlwe().chain();
        let planning = Program::new(Meter::new(chain.clone()), &parameters);
        let planner = CkksServer::planning(Arc::clone(&planning.backend), parameters.clone()).expect("planner");
        planning.run(&planner);
        let expected = Program::new(Cpu::new(chain.clone()), &parameters).words(&planner);
        let cuda = Cuda::new(chain.clone(), driver()).expect("the degree is supported");
        let found = Program::new(cuda, &parameters).words(&planner);
        assert!(expected.len() == 4 && expected.iter().flatten().any(|&word| word != 0));
        assert!(found == expected, "the ciphertexts of the driver and of the CPU differ");
    });
}
