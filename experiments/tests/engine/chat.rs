//! A conversation between two processes: the answer of one, and what becomes of either when the other ends.

use crate::refusals::calibrated;
use crate::stage::{Stage, stderr};
use experiments::spec::Mode;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The small circuit of `tests/engine/generation.rs`, insecure by name.
const CIRCUIT: [&str; 10] = [
    "--set",
    "model.path=odd",
    "--set",
    "generation.tokens=3",
    "--set",
    "attention.products=lanes",
    "--set",
    "engine.weight_scales=per-row",
    "--set",
    "engine.parameters=n13-toy",
];

fn program(stage: &Stage, command: &str, more: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fhe-llama"));
    program.args([command, "toy.toml"]).args(CIRCUIT).args(more).current_dir(stage.path());
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// A conversation of what is typed, to its end.
fn chat(stage: &Stage, typed: &str, more: &[&str]) -> Output {
    let mut child = program(stage, "chat", more).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The words of the generated tokens, as they are printed.
fn words(output: &str) -> Vec<String> {
    let told = output.lines().filter(|line| line.starts_with("token "));
    told.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

/// Two processes choose the tokens that one does, and say what crossed between them.
#[test]
fn a_conversation_answers_as_an_experiment_does() {
    let stage = calibrated();
    let output = chat(&stage, "It was a\n", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("n13-toy: INSECURE") && said.contains("NOT PRIVATE"), "{said}");

    stage.succeed(&[&CIRCUIT[2..], &["--set", "input.prompts=[\"It was a\"]"]].concat());
    let record = stage.record(Mode::Encrypted);
    let generation = record.generation.as_ref().unwrap();
    let expected: Vec<String> =
        generation.tokens.iter().map(|token| format!("{:?}", token.text).trim_matches('"').to_owned()).collect();
    assert_eq!(words(&said), expected, "{said}");
    let steps: Vec<u64> = generation.steps().map(|effort| effort.half_bootstraps).collect();
    let counted = |count: u64| said.matches(&format!(" {count} half bootstraps by the server's count")).count();
    assert_eq!((counted(generation.prompt.half_bootstraps), counted(steps[0])), (1, 2), "{said}");

    // The boundary: every kind of message, positions and lengths, and what stayed.
    let received = ["keys of the prompt", "encrypted prompt", "keys of steps", "encrypted token", "2 messages"];
    for part in received.into_iter().chain(["at positions", "2 steps", "it never received: secret keys, tokens, text"])
    {
        assert!(said.contains(part), "{part} in {said}");
    }
}

/// What is typed next continues what was said: a longer prompt, of a session of its own. What was forgotten before does not.
#[test]
fn a_second_turn_continues_the_first() {
    let stage = calibrated();
    let output = chat(&stage, "/new\nIt was\na\n", &["--set", "generation.tokens=2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("answer")).map(str::trim_start).collect();
    let [first, second] = answers[..] else { panic!("{said}") };
    assert!(first.starts_with("It was") && second.starts_with(&format!("{} a", first.trim_end())), "{said}");
    assert_eq!(said.matches("opening terms").count(), 2);
}

#[test]
fn rejects_a_conversation_that_does_not_fit() {
    let stage = calibrated();
    let output = chat(&stage, &"Of all the sciences ".repeat(2), &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("input.block_tokens = 16") && message.contains("one block has 16"), "{message}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("\nkeys "), "nothing was sent");
}

#[test]
fn rejects_settings_that_no_conversation_has() {
    let stage = calibrated();
    for (change, parts) in [
        ("mode=clear", ["`mode`", "share nothing"]),
        ("engine.insecure=false", ["n13-toy", "below 128 bits"]),
        ("generation.tokens=1", ["generation.tokens", "at least 2"]),
    ] {
        let message = stderr(&chat(&stage, "", &["--set", change]));
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

/// A server that is handed anything but frames says so in one, and ends.
#[test]
fn rejects_input_that_is_no_conversation() {
    let stage = calibrated();
    let mut server = program(&stage, "serve", &[]).spawn().unwrap();
    server
        .stdin
        .take()
        .unwrap()
        .write_all("GET / HTTP/1.1 and so on for more than a header's bytes".as_bytes())
        .unwrap();
    let output = server.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""));
    let refusal = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(refusal.contains("fhe-talk") && refusal.contains("magic is ") && refusal.contains("GET / HT"), "{refusal}");
}

/// A conversation that has begun, and the process of its server.
struct Begun {
    client: Child,
    server: String,
    said: BufReader<std::process::ChildStdout>,
}

impl Begun {
    /// Up to the moment when the keys are on their way: the server is at work.
    fn new(stage: &Stage) -> Self {
        let mut client = program(stage, "chat", &[]).spawn().unwrap();
        client.stdin.as_mut().unwrap().write_all(b"It was a\n").unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap());
        let mut lines = said.by_ref().lines().map(Result::unwrap);
        let introduced = lines.find_map(|line| line.strip_prefix("server      process ").map(str::to_owned)).unwrap();
        lines.find(|line| line.starts_with("keys ")).unwrap();
        let server = introduced.split(',').next().unwrap().to_owned();
        Self { client, server, said }
    }

    fn server_runs(&self) -> bool {
        let state = std::fs::read_to_string(PathBuf::from("/proc").join(&self.server).join("stat"));
        // Not there, or dead and not yet waited for.
        state.is_ok_and(|stat| !stat.contains(") Z "))
    }
}

fn kill(process: &str) {
    assert!(Command::new("kill").args(["-KILL", process]).status().unwrap().success());
}

#[test]
fn a_client_says_how_its_server_ended() {
    let stage = calibrated();
    let mut begun = Begun::new(&stage);
    kill(&begun.server);
    let (mut rest, mut message) = (String::new(), String::new());
    begun.said.read_to_string(&mut rest).unwrap();
    begun.client.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(begun.client.wait().unwrap().code(), Some(2));
    assert!(message.contains("error: the server was killed by signal 9"), "{message}");
}

/// However its client ends, also in the middle of a computation.
#[test]
fn a_server_ends_with_its_client() {
    let stage = calibrated();
    let mut begun = Begun::new(&stage);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(begun.server_runs());
    begun.client.kill().unwrap();
    begun.client.wait().unwrap();
    let patience = Instant::now();
    while begun.server_runs() {
        assert!(patience.elapsed() < Duration::from_secs(20), "the server goes on alone");
        std::thread::sleep(Duration::from_millis(50));
    }
}
