//! The turns of a conversation: text to tokens, tokens to an answer, an answer to text.

use std::io::{Read, Write};

use fhe_model::Beginning;
use fhe_ring::Seed;

use super::boundary;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute::Sampler;
use crate::execute::session::{Answer, Client, Common, Line, Luggage, Placement};
use crate::format;
use crate::randomness::seed_of;
use crate::spec::{Cell, GenerationSection};

/// A conversation so far.
pub(super) struct Conversation<'a> {
    common: &'a Common,
    sampler: Sampler,
    /// Most tokens of an answer.
    answer: usize,
    /// What all turns' secrets are drawn from, where the run is to be reproducible.
    seed: Option<Seed>,
    turns: u64,
    text: String,
}

type Say<'a> = &'a mut dyn FnMut(&str) -> Result<(), HarnessError>;

impl<'a> Conversation<'a> {
    /// The beginning of one, with the settings of a cell.
    pub(super) fn new(common: &'a Common, cell: &Cell) -> Self {
        let usual = GenerationSection { tokens: 2, rounds: None, temperature: None, seed: None };
        let section = cell.config.generation.as_ref().unwrap_or(&usual);
        let (sampler, answer) = (Sampler::new(section), section.tokens);
        Self { common, sampler, answer, seed: seed_of(cell).map(Seed::from_bytes), turns: 0, text: String::new() }
    }

    /// Forgets what was said. Secrets are new in every turn as it is.
    pub(super) fn forget(&mut self) {
        self.text.clear();
    }

    /// What is typed continues the conversation; the server's tokens continue that.
    ///
    /// # Errors
    /// Where the conversation does not fit, leaves the calibrated ranges, or the session does not go on; it then is as it was before.
    pub(super) fn turn<R: Read, W: Write>(
        &mut self,
        typed: &str,
        line: &mut Line<R, W>,
        say: Say<'_>,
        progress: &dyn ProgressSink,
    ) -> Result<(), HarnessError> {
        let text = if self.text.is_empty() { typed.to_owned() } else { format!("{} {typed}", self.text.trim_end()) };
        let tokens = self.tokens(&text)?;
        let prompt = self.common.block(&tokens)?.prompts()[0];
        let answer = self.answer.min(Placement::room(prompt.start + prompt.len, self.common.block_tokens()));
        if answer < self.answer {
            say(&format!(
                "room for {answer} of {} tokens: the conversation takes {} of the context\n",
                self.answer, prompt.len
            ))?;
        }
        let mut client = Client::open(self.common, line, &tokens, answer, &self.secrets()?)?;
        let Luggage { keys, key_bytes } = client.luggage().map_err(HarnessError::Session)?;
        let carries = |what: &str, set: usize| {
            format!("{what:<15}{} evaluation keys, {}\n", keys[set], format::bytes(key_bytes[set]))
        };
        say(&carries("keys", 0))?;
        client.send_prompt_keys(progress).map_err(HarnessError::Session)?;
        let (first, _) = progress.phase("the server computes the prompt", || client.prompt());
        let first = first.map_err(HarnessError::Session)?;
        say(&format!(
            "{:<15}{} tokens at positions {}..{}: {}\n",
            "prompt",
            prompt.len,
            prompt.start,
            prompt.start + prompt.len,
            by_server(&first)
        ))?;
        let mut generated = vec![self.choose(&first, prompt.start + prompt.len)?];
        say(&self.told(1, generated[0], "from the prompt's logits")?)?;
        if answer > 1 && !self.is_end(generated[0]) {
            say(&carries("keys of steps", 1))?;
            client.send_step_keys(progress).map_err(HarnessError::Session)?;
        }
        while let Some(&last) = generated.last().filter(|last| generated.len() < answer && !self.is_end(**last)) {
            let (next, _) = progress.phase("the server takes a step", || client.step(last));
            let next = next.map_err(HarnessError::Session)?;
            generated.push(self.choose(&next, prompt.start + prompt.len + generated.len())?);
            say(&self.told(generated.len(), generated[generated.len() - 1], &by_server(&next))?)?;
        }
        // An end of text ends an answer and is no part of it.
        let steps = generated.len() - 1;
        let outside = client.left_ranges(self.common, &tokens, &generated[..steps])?;
        generated.retain(|token| !self.is_end(*token));
        let added = self.decode(&generated)?;
        say(&format!("answer         {}{added}\n", if text.len() > 60 { "..." } else { &text }))?;
        if let Some(outside) = outside {
            say(&format!(
                "doubtful       what was generated leaves the calibrated ranges, which the server cannot see: {outside}\n"
            ))?;
        }
        let terms = client.terms().clone();
        let account = client.close().map_err(HarnessError::Session)?;
        say(&boundary::describe(&account, &terms, steps))?;
        self.text = text + &added;
        self.turns += 1;
        Ok(())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, HarnessError> {
        let beginning = if self.common.config().input.bos { Beginning::Prepend } else { Beginning::Omit };
        let tokens = self.common.tokenizer().encode_prompt(text, beginning);
        tokens.map_err(|error| HarnessError::execution("read what was typed", error))
    }

    /// What the secrets of this turn are drawn from.
    fn secrets(&self) -> Result<Seed, HarnessError> {
        match &self.seed {
            Some(seed) => Ok(seed.derive("session", self.turns)),
            None => Seed::from_os().map_err(|error| HarnessError::execution("draw secrets", error)),
        }
    }

    fn choose(&self, answer: &Answer, position: usize) -> Result<u32, HarnessError> {
        self.sampler.choose(&answer.logits, position).ok_or(HarnessError::NotNumbers { position })
    }

    fn is_end(&self, token: u32) -> bool {
        self.common.weights().config().eos_token_ids.contains(&token)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, HarnessError> {
        let text = self.common.tokenizer().decode(tokens);
        text.map_err(|error| HarnessError::execution("decode tokens", error))
    }

    fn told(&self, number: usize, token: u32, how: &str) -> Result<String, HarnessError> {
        Ok(format!("token {number:<9}{:<14}{how}\n", format!("{:?}", self.decode(&[token])?)))
    }
}

fn by_server(answer: &Answer) -> String {
    let effort = answer.effort;
    format!("{}, {} half bootstraps by the server's count", format::seconds(effort.seconds), effort.half_bootstraps)
}
