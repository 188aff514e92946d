//! Commands of this program as a shell reads them.

/// What is typed before a command of this program.
pub(crate) const PROGRAM: &str = "fhe-llama";

/// A word as a POSIX shell reads it: in single quotes unless no character of it means anything there.
pub(crate) fn word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./=:,@%+".contains(character);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(word("engine.threads=2"), "engine.threads=2");
        assert_eq!(word("mitigation.prefix=<|endoftext|>"), "'mitigation.prefix=<|endoftext|>'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
