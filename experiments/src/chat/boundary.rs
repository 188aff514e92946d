//! The privacy boundary of a session in words: what the server received, by its own account, and what it never did.

use crate::execute::session::{Ledger, Placement, Terms};
use crate::format;

/// One line a kind of message, then positions and lengths, then what stayed here.
pub(super) fn describe(received: &Ledger, terms: &Terms, steps: usize) -> String {
    let Placement { block, prefix, start, tokens, answer } = terms.placement;
    let mut text =
        format!("the server received {} (its own account, which is what was sent):\n", format::bytes(received.bytes()));
    for entry in &received.entries {
        let frames = if entry.frames == 1 { "1 message".into() } else { format!("{} messages", entry.frames) };
        text += &format!("  {:<22}{frames:>12}  {:>10}\n", entry.what, format::bytes(entry.bytes));
    }
    let end = start + tokens;
    let public_prefix = if prefix > 0 { format!(" behind {prefix} public ones") } else { String::new() };
    text += &format!(
        "  and from these: {tokens} tokens of a prompt at positions {start}..{end} of {block}{public_prefix}, up to {answer} of an answer, {steps} steps, and when each came\n\
         it never received: secret keys, tokens, text, embeddings or logits in the clear, how tokens are chosen\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::session::Entry;

    #[test]
    fn every_kind_and_every_length_is_named() {
        let entry = |what: &str, frames, bytes| Entry { what: what.into(), frames, bytes };
        let received =
            Ledger { entries: vec![entry("keys of the prompt", 1, 3 << 20), entry("encrypted token", 2, 2048)] };
        let placement = Placement { block: 16, prefix: 1, start: 1, tokens: 5, answer: 3 };
        let [parameters, fingerprint, model, ranges, circuit] = ["p", "f", "m", "r", "c"].map(str::to_owned);
        let text = describe(&received, &Terms { parameters, fingerprint, model, ranges, circuit, placement }, 2);
        for part in [
            "keys of the prompt",
            "3.00 MiB",
            "2 messages",
            "2.00 KiB",
            "5 tokens",
            "1..6 of 16",
            "behind 1 public",
            "2 steps",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
