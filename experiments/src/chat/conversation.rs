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

/// Characters of a conversation that is not shown again with its answer.
const LONG: usize = 60;

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
    /// The beginning of one. Secrets of all turns are drawn from `seed`, if one is stated, and no key is private.
    pub(super) fn new(common: &'a Common, seed: Option<Seed>) -> Self {
        let section = common.generation();
        let (sampler, answer) = (Sampler::new(section), section.tokens);
        Self { common, sampler, answer, seed, turns: 0, text: String::new() }
    }

    /// Forgets what was said. Secrets are new in every turn as it is.
    pub(super) fn forget(&mut self) {
        self.text.clear();
    }

    /// What is typed continues the conversation; the server's tokens continue that.
    ///
    /// # Errors
    /// [`HarnessError::Session`] where the server cannot be talked to any more. Otherwise the conversation is as it was before: it would not fit, it
    /// leaves the calibrated ranges, or its logits are no numbers.
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
        let end = prompt.start + prompt.len;
        let answer = self.answer.min(Placement::room(end, self.common.block_tokens()));
        if answer < self.answer {
            let wanted = self.answer;
            say(&format!("room for {answer} tokens of {wanted}: the conversation ends at position {end}\n"))?;
        }
        let mut client = Client::open(self.common, line, &tokens, answer, &self.new_secrets()?)?;
        let answered = self.answer(&mut client, (end, answer), say, progress);
        if let Err(HarnessError::Session(_)) = answered {
            return answered.map(|_| ());
        }
        let outside = match &answered {
            Ok(generated) => client.left_ranges(self.common, &tokens, &generated[..generated.len() - 1])?,
            Err(_) => None,
        };
        let terms = client.terms().clone();
        // Whatever became of the answer, the server waits for the end of its session.
        let account = client.close().map_err(HarnessError::Session)?;
        let mut generated = answered?;
        let steps = generated.len() - 1;
        // An end of text ends an answer and is no part of it.
        generated.retain(|token| !self.is_end(*token));
        let added = self.decode(&generated)?;
        say(&format!("answer         {}{added}\n", if text.len() > LONG { "..." } else { &text }))?;
        if let Some(outside) = outside {
            say(&format!("doubtful       it leaves the calibrated ranges, which the server cannot see: {outside}\n"))?;
        }
        say(&boundary::describe(&account, &terms, steps))?;
        self.text = text + &added;
        Ok(())
    }

    /// Token after token behind a prompt that ends at a position, so many at most.
    fn answer<R: Read, W: Write>(
        &self,
        client: &mut Client<'_, R, W>,
        (end, most): (usize, usize),
        say: Say<'_>,
        progress: &dyn ProgressSink,
    ) -> Result<Vec<u32>, HarnessError> {
        let Luggage { keys, key_bytes } = client.luggage().map_err(HarnessError::Session)?;
        let carries = |what: &str, set: usize| {
            format!("{what:<15}{} evaluation keys, {}\n", keys[set], format::bytes(key_bytes[set]))
        };
        say(&carries("keys", 0))?;
        client.send_prompt_keys(progress).map_err(HarnessError::Session)?;
        let (first, _) = progress.phase("the server computes the prompt", || client.prompt());
        let first = first.map_err(HarnessError::Session)?;
        let Placement { start, tokens, .. } = client.terms().placement;
        say(&format!("prompt         {tokens} tokens at positions {start}..{end}: {}\n", by_server(&first)))?;
        let mut generated = vec![self.choose(&first, end)?];
        say(&self.told(1, generated[0], "from the prompt's logits")?)?;
        while let Some(&last) = generated.last().filter(|last| generated.len() < most && !self.is_end(**last)) {
            if generated.len() == 1 {
                say(&carries("keys of steps", 1))?;
                client.send_step_keys(progress).map_err(HarnessError::Session)?;
            }
            let (next, _) = progress.phase("the server takes a step", || client.step(last));
            let next = next.map_err(HarnessError::Session)?;
            let token = self.choose(&next, end + generated.len())?;
            generated.push(token);
            say(&self.told(generated.len(), token, &by_server(&next))?)?;
        }
        Ok(generated)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, HarnessError> {
        let beginning = if self.common.config().input.bos { Beginning::Prepend } else { Beginning::Omit };
        let tokens = self.common.tokenizer().encode_prompt(text, beginning);
        tokens.map_err(|error| HarnessError::execution("read what was typed", error))
    }

    /// What the secrets of another session are drawn from.
    fn new_secrets(&mut self) -> Result<Seed, HarnessError> {
        self.turns += 1;
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
