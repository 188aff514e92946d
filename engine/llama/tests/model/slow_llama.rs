//! Llama written a second time, as plainly as its papers state it: one prompt, one token after the other, in `f64`, with
//! a growing list of keys and values instead of a mask, and complex numbers for rotary positions.

use num_complex::Complex;
use serde_json::Value;

use crate::fixture::Tensors;

pub(crate) struct SlowLlama<'a> {
    pub(crate) config: &'a Value,
    pub(crate) tensors: &'a Tensors,
}

impl SlowLlama<'_> {
    /// The logits of every position of one prompt: positions x vocabulary.
    pub(crate) fn logits(&self, prompt: &[u32]) -> Vec<Vec<f64>> {
        let layers = self.size("num_hidden_layers");
        let mut caches = vec![(Vec::new(), Vec::new()); layers];
        let step = |(position, &token): (usize, &u32)| {
            let mut x = self.row("model.embed_tokens.weight", token as usize);
            for (layer, (keys, values)) in caches.iter_mut().enumerate() {
                let update = self.attention(layer, position, &x, keys, values);
                x = sum(&x, &update);
                let update = self.feed_forward(layer, &x);
                x = sum(&x, &update);
            }
            let tied = self.config["tie_word_embeddings"] == true;
            let head = if tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
            self.apply(head, &self.norm("model.norm.weight", &x))
        };
        prompt.iter().enumerate().map(step).collect()
    }

    fn attention(
        &self,
        layer: usize,
        position: usize,
        x: &[f64],
        keys: &mut Vec<Vec<f64>>,
        values: &mut Vec<Vec<f64>>,
    ) -> Vec<f64> {
        let part = |name: &str| format!("model.layers.{layer}.{name}.weight");
        let x = self.norm(&part("input_layernorm"), x);
        let d = self.size("head_dim");
        let (heads, shared) = (self.size("num_attention_heads"), self.size("num_key_value_heads"));
        let q = self.rotate(&self.apply(&part("self_attn.q_proj"), &x), position);
        keys.push(self.rotate(&self.apply(&part("self_attn.k_proj"), &x), position));
        values.push(self.apply(&part("self_attn.v_proj"), &x));
        let mut output = Vec::new();
        for head in 0..heads {
            let group = head * shared / heads;
            let q = &q[head * d..][..d];
            let weights: Vec<f64> =
                keys.iter().map(|k| (dot(q, &k[group * d..][..d]) / (d as f64).sqrt()).exp()).collect();
            let total: f64 = weights.iter().sum();
            for channel in 0..d {
                output.push(weights.iter().zip(&*values).map(|(w, v)| w / total * v[group * d + channel]).sum());
            }
        }
        self.apply(&part("self_attn.o_proj"), &output)
    }

    fn feed_forward(&self, layer: usize, x: &[f64]) -> Vec<f64> {
        let part = |name: &str| format!("model.layers.{layer}.{name}.weight");
        let x = self.norm(&part("post_attention_layernorm"), x);
        let (gate, up) = (self.apply(&part("mlp.gate_proj"), &x), self.apply(&part("mlp.up_proj"), &x));
        let gated: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
        self.apply(&part("mlp.down_proj"), &gated)
    }

    fn rotate(&self, heads: &[f64], position: usize) -> Vec<f64> {
        let d = self.size("head_dim");
        let theta = self.config["rope_theta"].as_f64().unwrap();
        let mut turned = heads.to_vec();
        for (head, out) in heads.chunks(d).zip(turned.chunks_mut(d)) {
            for pair in 0..d / 2 {
                let angle = position as f64 * theta.powf(-((2 * pair) as f64) / d as f64);
                let z = Complex::new(head[pair], head[pair + d / 2]) * Complex::from_polar(1.0, angle);
                (out[pair], out[pair + d / 2]) = (z.re, z.im);
            }
        }
        turned
    }

    fn norm(&self, gamma: &str, x: &[f64]) -> Vec<f64> {
        let epsilon = self.config["rms_norm_eps"].as_f64().unwrap();
        let rms = (dot(x, x) / x.len() as f64 + epsilon).sqrt();
        self.tensors[gamma].1.iter().zip(x).map(|(&gamma, x)| f64::from(gamma) * x / rms).collect()
    }

    fn apply(&self, weight: &str, x: &[f64]) -> Vec<f64> {
        (0..self.tensors[weight].0[0]).map(|row| dot(&self.row(weight, row), x)).collect()
    }

    fn row(&self, weight: &str, row: usize) -> Vec<f64> {
        let (shape, numbers) = &self.tensors[weight];
        numbers[row * shape[1]..][..shape[1]].iter().map(|&x| x.into()).collect()
    }

    fn size(&self, key: &str) -> usize {
        self.config[key].as_u64().unwrap() as usize
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
