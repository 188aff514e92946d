//! What `scripts/fetch-*` leave: whether the conversion of SmolLM2-135M gave the language model, and not one with
//! rows, names or numbers mixed up, and whether the tokenizers are right. Needs their files and half a minute:
//! `cargo test --release -p fhe-model --test model -- --ignored fetched`.

use std::path::{Path, PathBuf};

use fhe_model::float::ContextTensors;
use fhe_model::{Beginning, FloatModel, PromptBlock, PublicContext, Tokenizer, Weights};

/// `<|endoftext|>`, which the model saw between the texts of its training.
const END_OF_TEXT: u32 = 0;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn open() -> (Weights, Tokenizer) {
    let folder = repository().join(".cache/models/smollm2-135m");
    let weights = Weights::open(&folder).unwrap_or_else(|error| panic!("{error}\nscripts/fetch-smollm2 fetches it"));
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    (weights, tokenizer)
}

fn alice() -> String {
    std::fs::read_to_string(repository().join("experiments/models/tiny-llama/calibration.txt")).unwrap()
}

/// Of each window's tokens, given those before them and `<|endoftext|>` in front.
fn perplexity(model: &FloatModel<'_>, windows: &[&[u32]]) -> f64 {
    let (mut nats, mut scored) = (0.0, 0);
    for window in windows {
        let prompt: Vec<u32> = std::iter::once(END_OF_TEXT).chain(window.iter().copied()).collect();
        let size = prompt.len().next_power_of_two();
        let block = PromptBlock::new(std::slice::from_ref(&prompt), size, model.weights().config()).unwrap();
        let logits = model.logits(&block).unwrap();
        for (position, &next) in window.iter().enumerate() {
            let column = logits.column(position);
            let largest = f64::from(column.iter().copied().fold(f32::MIN, f32::max));
            let sum: f64 = column.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
            nats += largest + sum.ln() - f64::from(column[next as usize]);
            scored += 1;
        }
    }
    (nats / f64::from(scored)).exp()
}

/// The most likely continuation, by a whole pass for every token.
fn continuation(model: &FloatModel<'_>, tokenizer: &Tokenizer, prompt: &str, count: usize) -> String {
    let mut tokens = tokenizer.encode_prompt(prompt, Beginning::Omit).unwrap();
    let given = tokens.len();
    for _ in 0..count {
        let block = PromptBlock::new(std::slice::from_ref(&tokens), 32, model.weights().config()).unwrap();
        let span = block.prompts()[0];
        let column = model.logits(&block).unwrap().column(span.start + span.len - 1);
        let next = (0..column.len()).max_by(|&a, &b| column[a].total_cmp(&column[b])).unwrap();
        tokens.push(next as u32);
    }
    tokenizer.decode(&tokens[given..]).unwrap()
}

/// The perplexity of eight windows at the beginning of Alice's Adventures in Wonderland, as a NumPy implementation of Llama
/// in float32 finds it with the same files.
#[test]
#[ignore = "needs the files of scripts/fetch-smollm2"]
fn smollm2_expects_english_as_an_independent_implementation_does() {
    const EXPECTED: f64 = 46.01355;
    let (weights, tokenizer) = open();
    let tokens = tokenizer.encode(&alice()).unwrap();
    let windows: Vec<&[u32]> = tokens.chunks_exact(127).take(8).collect();
    let found = perplexity(&FloatModel::new(&weights), &windows);
    assert!((found / EXPECTED - 1.0).abs() < 1e-4, "perplexity {found}, expected {EXPECTED}");
}

/// What llama.cpp writes from the package's own file, token for token, at temperature 0.
#[test]
#[ignore = "needs the files of scripts/fetch-smollm2"]
fn smollm2_writes_what_llama_cpp_writes() {
    let (weights, tokenizer) = open();
    let model = FloatModel::new(&weights);
    for (prompt, expected) in [
        ("The capital of France is", " Paris."),
        ("Gravity is", " a fundamental concept in physics that describes the curvature of spacetime caused by"),
        ("Once upon a time, there was a little girl who", " loved to play with her toys. She had a big imagination"),
    ] {
        let count = tokenizer.encode(expected).unwrap().len();
        assert_eq!(continuation(&model, &tokenizer, prompt, count), expected, "after {prompt:?}");
    }
}

/// 128 tokens behind 896, against all 1024 as one block. Prints how long a prefill of 3968 tokens takes.
#[test]
#[ignore = "needs the files of scripts/fetch-smollm2"]
fn smollm2_says_behind_a_context_what_it_says_of_the_whole() {
    let (weights, tokenizer) = open();
    let config = weights.config();
    let text = tokenizer.encode(&alice()).unwrap();
    let tokens: Vec<u32> = std::iter::once(END_OF_TEXT).chain(text.iter().copied().cycle()).take(4096).collect();
    let prefill = |public: usize| {
        let context = PublicContext::new(&tokens[..public], config).unwrap();
        (ContextTensors::prefill(&weights, &context).unwrap(), context)
    };
    let (tensors, context) = prefill(896);
    let block = PromptBlock::following(&context, &tokens[896..1024], 128, config).unwrap();
    let model = FloatModel::new(&weights);
    let found = model.behind(&tensors).logits(&block).unwrap();
    let whole = PromptBlock::new(&[tokens[..1024].to_vec()], 1024, config).unwrap();
    let expected = model.logits(&whole).unwrap();
    for place in 0..128 {
        for (found, expected) in found.column(place).iter().zip(expected.column(896 + place)) {
            assert!((found - expected).abs() < 2e-2, "position {place}: {found}, expected {expected}");
        }
    }
    let start = std::time::Instant::now();
    prefill(3968);
    eprintln!("3968 tokens prefilled in {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs the files of scripts/fetch-smollm2"]
fn smollm2_tokenizes_as_its_authors_do_and_back() {
    let (weights, tokenizer) = open();
    assert_eq!(weights.parameter_count(), 134_515_008);
    let system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n";
    let expected = [
        1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2,
        198,
    ];
    assert_eq!(tokenizer.encode(system).unwrap(), expected);
    let odd = "  naïve café, 東京 😀\r\n\t1234567 + 0.5%  <|endoftext|>don't".to_owned();
    for text in [system.to_owned(), odd, alice()] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), text);
    }
    // Every digit is a token of its own.
    assert_eq!(tokenizer.encode("1234567").unwrap().len(), 7);
}

/// The tokenizer of Llama 3 and the committed configuration belong together.
#[test]
#[ignore = "needs the file of scripts/fetch-llama3-tokenizer"]
fn llama3_tokenizes_as_its_authors_do() {
    let folder = repository().join("experiments/models/llama-3-8b");
    let config = fhe_model::Config::read(&folder.join("config.json")).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), &config).unwrap();
    let tokens = |text: &str| tokenizer.encode_prompt(text, Beginning::Prepend).unwrap();
    assert_eq!(tokens("Hello world"), [128_000, 9906, 1917]);
    assert_eq!(
        tokenizer.encode("<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>").unwrap(),
        [128_006, 882, 128_007, 271, 13347, 128_009]
    );
    let text = "The capital of France is Paris. 12345 + 678 = 13023\n\n  don't";
    let expected = [
        791, 6864, 315, 9822, 374, 12366, 13, 220, 4513, 1774, 489, 220, 17458, 284, 220, 5894, 1419, 271, 220, 1541,
        956,
    ];
    assert_eq!(tokenizer.encode(text).unwrap(), expected);
    assert_eq!(tokenizer.decode(&expected).unwrap(), text);
}
