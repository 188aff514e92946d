//! Safetensors files, single or sharded: mapped, their headers checked, their numbers read as `f32`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model, wherever they lie.
#[derive(Debug)]
pub(super) struct Shards {
    files: Vec<Shard>,
    /// Named in errors about a tensor that is nowhere: the single file, or the index.
    root: PathBuf,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    bytes: Mmap,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Byte range in the file, inside it by the header's validation.
    range: std::ops::Range<usize>,
}

/// One tensor's bytes with what they mean.
pub(super) struct Tensor<'a> {
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [usize],
    pub(super) bytes: &'a [u8],
}

/// What is read of `model.safetensors.index.json`: which file holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    pub(super) fn lie_in(folder: &Path) -> bool {
        [SINGLE, INDEX].iter().any(|name| folder.join(name).is_file())
    }

    pub(super) fn open(folder: &Path) -> Result<Self> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        if single.is_file() {
            let mut shards = Self { files: Vec::new(), root: single.clone(), tensors: BTreeMap::new() };
            shards.add(&single)?;
            Ok(shards)
        } else if index.is_file() {
            Self::open_index(folder, &index)
        } else {
            Err(Error::NoWeights { folder: folder.to_owned() })
        }
    }

    fn open_index(folder: &Path, index: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(index).map_err(Error::file("read", index))?;
        let Index { weight_map } = serde_json::from_str(&text).map_err(Error::malformed("safetensors index", index))?;
        let mut names: Vec<&String> = weight_map.values().collect();
        names.sort_unstable();
        names.dedup();
        let mut shards = Self { files: Vec::new(), root: index.to_owned(), tensors: BTreeMap::new() };
        for name in names {
            if Path::new(name).file_name().is_none_or(|file| file != name.as_str()) {
                let reason = format!("`{name}` is not a plain file name; shards lie beside their index");
                return Err(Error::malformed("safetensors index", index)(reason));
            }
            shards.add(&folder.join(name))?;
        }
        for (tensor, name) in &weight_map {
            let holder = shards.tensors.get(tensor).map(|entry| &shards.files[entry.shard].path);
            if holder != Some(&folder.join(name)) {
                let reason = format!("it places tensor `{tensor}` in {name}, which does not hold it");
                return Err(Error::malformed("safetensors index", index)(reason));
            }
        }
        Ok(shards)
    }

    /// Maps one file and lists its tensors.
    fn add(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        // SAFETY: the map is read-only and its bytes are only ever interpreted as numbers, for which every bit pattern
        // is valid. As with any mapped file, a program that shortens it meanwhile ends this process by a signal.
        let bytes = unsafe { Mmap::map(&file) }.map_err(Error::file("map", path))?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::malformed("safetensors", path)(explain(&error)))?;
        let data = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let range = data + info.data_offsets.0..data + info.data_offsets.1;
            let entry = Entry { shard: self.files.len(), dtype: info.dtype, shape: info.shape.clone(), range };
            if let Some(other) = self.tensors.insert(name.clone(), entry) {
                let reason = format!("tensor `{name}` is also in {}", self.files[other.shard].path.display());
                return Err(Error::malformed("safetensors", path)(reason));
            }
        }
        self.files.push(Shard { path: path.to_owned(), bytes });
        Ok(())
    }

    /// Refuses a tensor that is absent, of another shape, or of a type that is not read.
    pub(super) fn check(&self, name: &str, required: &[usize]) -> Result<()> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::TensorMissing {
                path: self.root.clone(),
                tensor: name.to_owned(),
                required: required.to_vec(),
            });
        };
        let path = &self.files[entry.shard].path;
        if entry.shape != required {
            return Err(Error::TensorShape {
                path: path.clone(),
                tensor: name.to_owned(),
                found: entry.shape.clone(),
                required: required.to_vec(),
            });
        }
        match entry.dtype {
            Dtype::F32 | Dtype::BF16 | Dtype::F16 => Ok(()),
            other => {
                Err(Error::TensorType { path: path.clone(), tensor: name.to_owned(), found: format!("{other:?}") })
            }
        }
    }

    /// The first tensor, in alphabetical order, of which `known` is false, with its file.
    pub(super) fn first_unless(&self, known: impl Fn(&str) -> bool) -> Option<(&Path, &str)> {
        let (name, entry) = self.tensors.iter().find(|(name, _)| !known(name))?;
        Some((&self.files[entry.shard].path, name))
    }

    /// A tensor that [`Shards::check`] has accepted.
    pub(super) fn tensor(&self, name: &str) -> Tensor<'_> {
        let entry = self.tensors.get(name).expect("every tensor asked for was checked on opening");
        let bytes = &self.files[entry.shard].bytes[entry.range.clone()];
        Tensor { dtype: entry.dtype, shape: &entry.shape, bytes }
    }
}

impl Tensor<'_> {
    /// The numbers, in the file's order; every type read here is a subset of `f32`.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F32 => convert(self.bytes, f32::from_le_bytes),
            Dtype::BF16 => convert(self.bytes, |word| bf16::from_le_bytes(word).to_f32()),
            Dtype::F16 => convert(self.bytes, |word| f16::from_le_bytes(word).to_f32()),
            other => unreachable!("type {other:?} was refused on opening"),
        }
    }

    /// One row of a matrix.
    pub(super) fn row_to_f32(&self, row: usize) -> Vec<f32> {
        let length = self.bytes.len() / self.shape[0];
        Self { bytes: &self.bytes[row * length..][..length], ..*self }.to_f32()
    }
}

fn convert<const WIDTH: usize>(bytes: &[u8], number: impl Fn([u8; WIDTH]) -> f32 + Sync) -> Vec<f32> {
    const NUMBERS_PER_TASK: usize = 1 << 16;
    let mut numbers = vec![0.0; bytes.len() / WIDTH];
    numbers.par_chunks_mut(NUMBERS_PER_TASK).zip(bytes.par_chunks(NUMBERS_PER_TASK * WIDTH)).for_each(
        |(numbers, bytes)| {
            let (words, _) = bytes.as_chunks::<WIDTH>();
            numbers.iter_mut().zip(words).for_each(|(slot, word)| *slot = number(*word));
        },
    );
    numbers
}

/// The library's verdicts in words that name the likely cause.
fn explain(error: &safetensors::SafeTensorError) -> String {
    use safetensors::SafeTensorError::{HeaderTooSmall, InvalidHeaderLength, MetadataIncompleteBuffer};
    match error {
        HeaderTooSmall | InvalidHeaderLength => "the file ends inside its header: it is truncated".to_owned(),
        MetadataIncompleteBuffer => "the file's length is not what its header announces: it is truncated".to_owned(),
        other => other.to_string(),
    }
}
