//! A client and a server with a backend each: what one sends arrives as what the other would have made.

use std::sync::Arc;

use crate::common::{Instance, uniform};
use fhe_ckks::{Client, Evaluator, Parameters, RemoteClient, SlotArithmetic};
use fhe_ring::{Counting, Cpu, Meter, Seed};

const SET: &str = "n11-toy";

fn cpu(set: &str) -> Arc<Counting<Cpu>> {
    let parameters = Parameters::named(set).unwrap();
    Arc::new(Counting::new(Cpu::new(parameters.rlwe().chain().clone())))
}

/// The same seed, the same ciphertexts, and keys that bootstrap them to the same words.
#[test]
fn a_remote_client_sends_what_a_local_one_does() {
    let local = Instance::new(SET, 3);
    let (planner, planning) = local.planner();
    let levels = planner.shape().compute_levels;
    let values = uniform(planner.shape().degree, 5);
    let unit = planner.shape().full_scale;
    let input = planning.encrypt(&values, unit).unwrap();
    planner.half_bootstrap(&[&input], levels).unwrap();
    let requests = planner.key_requests();

    let (here, there) = (cpu(SET), cpu(SET));
    let seed = Seed::from_bytes([3; 32]);
    let remote = RemoteClient::new(here, Arc::clone(&there), local.parameters.clone(), &seed).unwrap();
    let done = std::cell::RefCell::new(Vec::new());
    let keys = remote.evaluation_keys(&requests, |count| done.borrow_mut().push(count)).unwrap();
    assert_eq!(done.into_inner(), (1..=requests.len()).collect::<Vec<_>>());
    let far = fhe_ckks::CkksServer::new(Arc::clone(&there), local.parameters.clone(), keys).unwrap();
    let near = local.server(&planner);
    assert_eq!(far.key_bytes(), near.key_bytes());

    let (sent, made) = (remote.encrypt(&values, unit).unwrap(), local.client.encrypt(&values, unit).unwrap());
    assert_eq!(remote.decrypt(&sent).unwrap(), local.client.decrypt(&made).unwrap());
    let sent = far.half_bootstrap(&[&sent], levels).unwrap().remove(0);
    let made = near.half_bootstrap(&[&made], levels).unwrap().remove(0);
    for (sent, made) in sent.ciphertext().halves().into_iter().zip(made.ciphertext().halves()) {
        assert_eq!(sent.download(&there), made.download(&local.backend));
    }
    assert_eq!(far.level(&sent), near.level(&made));
}

#[test]
fn nothing_comes_back_from_a_server_without_data() {
    let parameters = Parameters::named(SET).unwrap();
    let meter = Arc::new(Meter::new(parameters.rlwe().chain().clone()));
    let remote = RemoteClient::new(cpu(SET), meter, parameters.clone(), &Seed::from_bytes([1; 32])).unwrap();
    let sent = remote.encrypt(&vec![0.5; parameters.shape().degree], 1e6).unwrap();
    assert_eq!(remote.decrypt(&sent).unwrap(), None);
}

#[test]
fn rejects_a_server_of_another_chain() {
    let parameters = Parameters::named(SET).unwrap();
    let other = cpu("n13-toy");
    let remote = RemoteClient::new(cpu(SET), other, parameters.clone(), &Seed::from_bytes([1; 32])).unwrap();
    let refusal = remote.encrypt(&vec![0.5; parameters.shape().degree], 1e6).err().unwrap().to_string();
    assert!(refusal.contains("the chain of the other backend"), "{refusal}");
}
