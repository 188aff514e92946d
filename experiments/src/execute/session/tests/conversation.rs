//! A whole session over pipes: what it gives is what one process gives without a wire, and wrong requests are refused in the middle of it.

use std::io::{BufReader, BufWriter, PipeReader, PipeWriter, pipe};
use std::path::Path;
use std::sync::Arc;

use fhe_ckks::{CkksClient, CkksServer, Client as _};
use fhe_ring::{Counting, Cpu, Seed};
use fhe_rlwe::KeyRequests;

use super::super::frame::{Kind, SessionId};
use super::super::line::Line;
use super::super::messages::send_ciphertexts;
use super::super::{Client, Common, SessionError, Terms, serve};
use crate::event::Quiet;
use crate::execute::attendant::Attendant;
use crate::execute::circuit::Circuit;
use crate::execute::decoder::Decoder;
use crate::execute::generation::Generator;
use crate::execute::plan::Plan;
use crate::execute::state::Observations;
use crate::params;
use crate::spec::{Cell, Override, Suite};

const SPEC: &str = r#"
    name = "toy"
    question = "Does a wire change anything?"
    mode = "encrypted"
    model.path = "experiments/models/tiny-llama"
    input = { prompts = ["(what is typed)"], block_tokens = 8, bos = false }
    softmax.variant = "exp-inverse"
    attention.products = "lanes"
    generation.tokens = 3
    engine = { parameters = "n13-toy", weight_scales = "per-row", insecure = true }
"#;

fn cell(changes: &[&str]) -> Cell {
    let overrides: Vec<Override> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
    Suite::parse(SPEC, "toy.toml", &overrides, root()).unwrap().cells.remove(0)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn common(changes: &[&str]) -> Common {
    Common::read(cell(changes), root(), &Quiet).unwrap()
}

type Pipe = Line<BufReader<PipeReader>, BufWriter<PipeWriter>>;

/// Runs a client against a server of its own, which sees nothing but pipes.
fn beside_a_server<T>(server: &Common, client: impl FnOnce(&mut Pipe) -> T) -> (T, Result<(), String>) {
    let ((there, to_server), (here, to_client)) = (pipe().unwrap(), pipe().unwrap());
    let line = |input, output| Line::new(BufReader::new(input), BufWriter::new(output));
    std::thread::scope(|scope| {
        let served = scope.spawn(move || serve(server, &mut line(there, to_client)).map_err(|error| error.to_string()));
        let mut line = line(here, to_server);
        let result = client(&mut line);
        drop(line);
        (result, served.join().unwrap())
    })
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// Tokens and their logits by the decoder and the generator of experiments, with nothing between client and server but the stack.
fn in_one_process(common: &Common, cell: &Cell, prompt: &[u32], seed: &Seed) -> Vec<(u32, Vec<u32>)> {
    let block = common.block(prompt).unwrap();
    let circuit =
        Circuit::of_block(cell, common.parameters().clone(), common.weights(), common.ranges(), block).unwrap();
    let plan = Plan::new(&circuit).unwrap();
    let cpu = || Arc::new(Counting::new(Cpu::new(circuit.parameters.rlwe().chain().clone())));
    let there = cpu();
    let client = CkksClient::new(cpu(), circuit.parameters.clone(), seed).unwrap();
    let server = |requests: &KeyRequests| {
        let keys = client.evaluation_keys(requests, |_| ()).unwrap();
        CkksServer::new(Arc::clone(&there), circuit.parameters.clone(), keys).unwrap()
    };
    let of_prompt = server(&plan.requests);
    let decoder = Decoder { model: &circuit.model, evaluator: &of_prompt, client: &client, progress: &Quiet };
    let mut attendant = Attendant::new(&client, Observations::default());
    let mut decoded = decoder.resume(&mut attendant, None, |_, _, _| Ok(())).unwrap();
    let generation = circuit.generation.as_ref().unwrap();
    let first = generation.first(&decoded.logits.unwrap()).unwrap();
    let of_steps = server(&plan.steps.as_ref().unwrap().requests);
    let generator = Generator { generation, evaluator: &of_steps, client: &client, progress: &Quiet };
    let generated = generator.go_on(vec![first], &mut decoded.caches, None, &|| Ok(()), |_, _, _| Ok(())).unwrap();
    generated.iter().map(|token| (token.token, bits(&token.logits))).collect()
}

/// The prompt and two steps fill the block to its last position; one step more has no place in it.
#[test]
fn a_wire_changes_no_bit_and_the_context_ends_where_it_ends() {
    let (common, seed) = (common(&[]), Seed::from_bytes([3; 32]));
    let prompt = &common.tokenizer().encode("It was a bright cold day").unwrap()[..6];
    let alone = in_one_process(&common, &cell(&[]), prompt, &seed);
    let sampler = crate::execute::Sampler::new(common.generation());
    let (together, served) = beside_a_server(&common, |line| {
        let mut client = Client::open(&common, line, prompt, 3, &seed).unwrap();
        client.send_prompt_keys(&Quiet).unwrap();
        let mut answer = client.prompt().unwrap();
        let mut together = Vec::new();
        client.send_step_keys(&Quiet).unwrap();
        for position in 6..9 {
            let token = sampler.choose(&answer.logits, position).unwrap();
            together.push((token, bits(&answer.logits), answer.effort.half_bootstraps));
            if position < 8 {
                answer = client.step(token).unwrap();
            }
        }
        let error = client.step(together[2].0).unwrap_err();
        assert!(
            matches!(&error, SessionError::Refused { reason } if reason.contains("token 9 of a sequence, required: at most 8")),
            "{error}"
        );
        together
    });
    assert!(served.unwrap_err().contains("take a step"));
    let without_effort: Vec<_> = together.iter().map(|(token, logits, _)| (*token, logits.clone())).collect();
    assert_eq!(without_effort, alone);
    assert!(together[0].2 > together[1].2 && together[1].2 == together[2].2 && together[1].2 > 0);
}

/// What a server says to a client that reads another spec.
fn refused_terms(client: impl FnOnce(&Common) -> Terms) -> String {
    let server = common(&[]);
    let (heard, served) = beside_a_server(&server, |line| {
        line.open(SessionId([9; 16]), &client(&server)).unwrap();
        line.receive(Kind::Welcome, |contents| contents.words::<Terms>()).unwrap_err().to_string()
    });
    assert!(heard.starts_with("the server refused: "), "{heard}");
    assert!(heard.ends_with(&served.unwrap_err()), "the server knows what it refused");
    heard
}

#[test]
fn rejects_a_client_of_other_parameters_or_of_another_circuit() {
    let other = common(&["engine.parameters=n11-toy"]);
    let message = refused_terms(|server| other.terms_of(terms(server).placement));
    assert!(message.contains("the parameter set is n11-toy with the client, n13-toy with the server"), "{message}");
    let message = refused_terms(|_| terms(&common(&["engine.weight_bits=11"])));
    assert!(message.contains("the circuit is "), "{message}");
    let message = refused_terms(|server| Terms { model: "another".into(), ..terms(server) });
    assert!(message.contains("the model is another with the client"), "{message}");
}

#[test]
fn rejects_a_prompt_longer_than_the_context() {
    let common = common(&[]);
    let (opened, served) = beside_a_server(&common, |line| {
        let opened = Client::open(&common, line, &[5; 9], 2, &Seed::from_bytes([1; 32]));
        opened.err().map(|error| error.to_string()).unwrap()
    });
    assert!(
        opened.contains("input.block_tokens = 8") && opened.contains("9 tokens are needed, one block has 8"),
        "{opened}"
    );
    served.unwrap();
}

/// A client that ignores what was agreed, and what its server says.
fn willful(act: impl FnOnce(&Common, &mut Pipe) -> Result<(), SessionError>) -> String {
    let common = common(&[]);
    let (terms, asked) = (terms(&common), terms(&common));
    let (heard, served) = beside_a_server(&common, |line| {
        line.open(SessionId([9; 16]), &asked)?;
        assert_eq!(line.receive(Kind::Welcome, |contents| contents.words::<Terms>())?, terms);
        act(&common, line)?;
        line.receive_any(|_, _| Ok(()))
    });
    assert!(matches!(heard, Err(SessionError::Refused { .. } | SessionError::Left { .. })), "{heard:?}");
    served.unwrap_err()
}

fn terms(common: &Common) -> Terms {
    common.terms(&common.circuit(3, 2).unwrap())
}

#[test]
fn rejects_a_token_before_its_prompt() {
    let message = willful(|_, line| line.send_words(Kind::Token, &"now"));
    assert!(message.contains("kind is encrypted token, required keys of the prompt"), "{message}");
}

#[test]
fn rejects_keys_of_other_parameters() {
    let other = params::named("n11-toy").unwrap();
    let backend = Arc::new(Cpu::new(other.rlwe().chain().clone()));
    let client = CkksClient::new(backend, other.clone(), &Seed::from_bytes([1; 32])).unwrap();
    let message = willful(|_, line| {
        let none = KeyRequests::default();
        let bytes = none.wire_bytes(other.rlwe()).unwrap();
        line.send(Kind::PromptKeys, bytes, |frame| {
            client.write_evaluation_keys(&none, frame, |_| ()).map_err(SessionError::engine("write"))
        })
    });
    assert!(message.contains("parameter fingerprint") && message.contains("n13-toy"), "{message}");
}

/// Ciphertexts of other parameters have another length, or the same and another fingerprint; too few have too little of it.
#[test]
fn rejects_ciphertexts_of_other_parameters_and_too_few() {
    for (set, count) in [("n11-toy", 4), ("n13-toy", 7)] {
        let other = params::named(set).unwrap();
        let backend = Arc::new(Cpu::new(other.rlwe().chain().clone()));
        let client = CkksClient::new(Arc::clone(&backend), other.clone(), &Seed::from_bytes([1; 32])).unwrap();
        let message = willful(|common, line| {
            let own = common.parameters();
            let none = KeyRequests::default();
            let here = Arc::new(Cpu::new(own.rlwe().chain().clone()));
            let keys = CkksClient::new(here, own.clone(), &Seed::from_bytes([2; 32])).unwrap();
            line.send(Kind::PromptKeys, none.wire_bytes(own.rlwe()).unwrap(), |frame| {
                keys.write_evaluation_keys(&none, frame, |_| ()).map_err(SessionError::engine("write"))
            })?;
            let one = client.encrypt(&vec![0.0; other.shape().degree], 1e6).unwrap();
            send_ciphertexts(line, Kind::Prompt, (backend.as_ref(), &other), &vec![one; count])
        });
        assert!(message.contains("payload length is "), "{message}");
    }
}
