//! From a file and the command line's overrides to the checked cells of a suite.

use super::{
    AttentionSection, Cell, CellConfig, CircuitKind, ComputeDevice, ContextSection, EngineSection, GenerationSection,
    InputSection, LimitsSection, MitigationSection, Mode, ModelSection, Must, Noise, SoftmaxSection, keys, preset,
    prompts, schema, sweep,
};
use crate::error::HarnessError;
use crate::machine;
use fhe_circuits::Functions;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use toml::{Table, Value};

/// The spec as a file holds it. Its field names are the keys that a spec may use.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpecFile {
    /// The suite: the folder of its records. Lower-case letters, digits and hyphens.
    name: String,
    /// What the experiment is to answer.
    question: String,
    /// How the circuit is run.
    mode: Mode,
    /// What of the model is computed.
    #[serde(default)]
    circuit: CircuitKind,
    /// How often each configuration is run.
    #[serde(default = "once")]
    repetitions: u32,
    /// Where the model comes from.
    model: ModelSection,
    /// What is fed to the model.
    input: InputSection,
    /// Public tokens before the encrypted block; left out, there are none.
    #[serde(default)]
    context: Option<ContextSection>,
    /// Measures against activation outliers.
    #[serde(default)]
    mitigation: MitigationSection,
    /// Choice of the SoftMax circuit.
    softmax: SoftmaxSection,
    /// The attention circuit.
    #[serde(default)]
    attention: AttentionSection,
    /// Tokens to generate after the prompt; left out, none are.
    #[serde(default)]
    generation: Option<GenerationSection>,
    /// The cryptographic engine.
    engine: EngineSection,
    /// Bounds on one cell.
    #[serde(default)]
    limits: LimitsSection,
    /// What the answer has to satisfy.
    #[serde(default)]
    must: Must,
    /// Settings that vary. Expanded before a cell is read; named here so that the key is known.
    #[serde(default, rename = "sweep")]
    #[schemars(schema_with = "schema::sweep")]
    _sweep: Option<Value>,
}

fn once() -> u32 {
    1
}

impl SpecFile {
    /// The configuration as the file states it: no input is looked for, and what resolution would fill in is absent.
    pub(super) fn config(self) -> CellConfig {
        CellConfig {
            mode: self.mode,
            circuit: self.circuit,
            model: self.model,
            input: self.input,
            context: self.context,
            mitigation: self.mitigation,
            softmax: self.softmax,
            attention: self.attention,
            generation: self.generation,
            engine: self.engine,
            limits: self.limits,
        }
    }
}

/// One `--set key=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    key: String,
    value: Value,
}

impl Override {
    /// Reads `key=value`: the value is TOML where it parses as such, a bare string otherwise.
    ///
    /// # Errors
    /// [`HarnessError::MalformedOverride`] without `=`, [`HarnessError::UnknownKey`] for a key no cell has.
    pub fn parse(argument: &str) -> Result<Self, HarnessError> {
        let malformed = || HarnessError::MalformedOverride { argument: argument.into() };
        let (key, value) = argument.split_once('=').ok_or_else(malformed)?;
        let key = key.trim();
        keys::check_settable(key, &format!("--set `{argument}`"))?;
        let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        Ok(Self { key: key.into(), value: parsed.unwrap_or_else(|| Value::String(value.trim().into())) })
    }

    /// The override that gives a key a value.
    pub(super) fn new(key: &str, value: Value) -> Self {
        Self { key: key.into(), value }
    }

    /// Its dotted key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The override that `--mode` stands for.
    pub fn mode(mode: Mode) -> Self {
        Self { key: "mode".into(), value: Value::String(mode.to_string()) }
    }
}

/// The argument that [`Override::parse`] reads: a string stays bare unless it would be read as something else.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = self.value.as_str().map(|text| format!("{}={text}", self.key));
        match bare.filter(|argument| Self::parse(argument).is_ok_and(|read| read == *self)) {
            Some(argument) => f.write_str(&argument),
            None => write!(f, "{}={}", self.key, self.value),
        }
    }
}

/// A spec resolved: its name and the cells it stands for.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The spec's name: the folder of its records.
    pub name: String,
    /// Every combination of the sweep, each as often as it is to be repeated.
    pub cells: Vec<Cell>,
}

impl Suite {
    /// Reads a spec file, applies overrides in order, expands the sweep and checks every cell. Paths, the spec's own
    /// included, are relative to `root`. An override of a swept key replaces that axis: a key of `[sweep.zip]` leaves
    /// the zip, whose other keys go on varying together, and `[[sweep.exclude]]` is held against the new value. One of `engine.device` is
    /// meant for the cells that compute on ciphertexts, if there are such.
    ///
    /// # Errors
    /// One error naming the file, the dotted key, what was found and what is accepted.
    pub fn load(path: &Path, overrides: &[Override], root: &Path) -> Result<Self, HarnessError> {
        let full = root.join(path);
        if !full.is_file() {
            return Err(HarnessError::SpecNotFound { path: path.into(), directory: root.into() });
        }
        let text = std::fs::read_to_string(&full).map_err(|source| HarnessError::io("read", &full, source))?;
        Self::parse(&text, &path.display().to_string(), overrides, root)
    }

    /// As [`Suite::load`], from text; `file` is the name that errors carry.
    ///
    /// # Errors
    /// As [`Suite::load`].
    pub fn parse(text: &str, file: &str, overrides: &[Override], root: &Path) -> Result<Self, HarnessError> {
        let mut spec = text.parse::<Table>().map_err(|source| HarnessError::SpecSyntax {
            file: file.into(),
            message: source.to_string().trim_end().into(),
        })?;
        refuse_other_kinds(&spec, file)?;
        keys::check(&spec, file)?;
        let mut swept = sweep::Sweep::of(&spec, file)?;
        for change in overrides {
            swept.fix(&change.key, &change.value);
            sweep::assign(&mut spec, &change.key, change.value.clone());
            for other in alternatives(&change.key) {
                swept.release(other);
                sweep::remove(&mut spec, other);
            }
        }
        let mut specs = Vec::new();
        for combination in swept.combinations()? {
            let mut table = spec.clone();
            for (key, value) in combination {
                sweep::assign(&mut table, &key, value);
            }
            let resolved: SpecFile = Value::Table(table).try_into().map_err(|source: toml::de::Error| {
                HarnessError::SpecType { origin: file.into(), message: one_line(&source.to_string()) }
            })?;
            specs.push(resolved);
        }
        if overrides.iter().any(|change| change.key == DEVICE) {
            leave_device_to_ciphertexts(&mut specs);
        }
        let name = specs.first().map(|spec| spec.name.clone()).unwrap_or_default();
        let mut cells: Vec<Cell> = Vec::new();
        for spec in specs {
            append_cells(spec, file, root, &mut cells)?;
        }
        Ok(Self { name, cells })
    }
}

/// The key of who computes on ciphertexts.
const DEVICE: &str = "engine.device";

/// Where a device is asked for on the command line, cells without ciphertexts are not meant, unless a suite has no others.
fn leave_device_to_ciphertexts(specs: &mut [SpecFile]) {
    if specs.iter().any(|spec| spec.mode == Mode::Encrypted) {
        let others = specs.iter_mut().filter(|spec| spec.mode != Mode::Encrypted);
        others.for_each(|spec| spec.engine.device = ComputeDevice::Cpu);
    }
}

/// The others of some keys of which one is given: an override of one replaces all.
pub(super) fn alternatives(key: &str) -> Vec<&'static str> {
    match key {
        "input.text" => vec!["input.prompts", "input.tokens"],
        // Windows are nothing without a text.
        "input.prompts" => vec!["input.text", "input.tokens", "input.windows"],
        "input.tokens" => vec!["input.prompts", "input.text", "input.windows"],
        key => preset::alternative(key).into_iter().collect(),
    }
}

/// A comparison is derived, not run; its keys would only be called unknown one by one.
fn refuse_other_kinds(spec: &Table, file: &str) -> Result<(), HarnessError> {
    match spec.get("kind") {
        None => Ok(()),
        Some(kind) => Err(HarnessError::InvalidValue {
            origin: file.into(),
            key: "kind".into(),
            problem: format!("is {kind}, but an experiment has no kind; a comparison is made with `fhe-llama compare`"),
        }),
    }
}

/// The toml crate spreads its message over lines, the key last.
pub(crate) fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn append_cells(spec: SpecFile, file: &str, root: &Path, cells: &mut Vec<Cell>) -> Result<(), HarnessError> {
    let (name, question, must, repetitions) =
        (spec.name.clone(), spec.question.clone(), spec.must.clone(), spec.repetitions);
    let config = checked_config(spec, file, root)?;
    let prompts = config.input.prompts.as_ref().map(|prompts| prompts::read(prompts, root, file)).transpose()?;
    let prompts = prompts.unwrap_or_default();
    if config.context.is_some() && prompts.len() > 1 {
        let problem = format!("holds {} prompts, but one alone goes on from a context; name one", prompts.len());
        return Err(HarnessError::InvalidValue { origin: file.into(), key: "input.prompts".into(), problem });
    }
    for repetition in 0..repetitions {
        cells.push(Cell {
            suite: name.clone(),
            question: question.clone(),
            index: cells.len(),
            repetition,
            config: config.clone(),
            prompts: prompts.clone(),
            must: must.clone(),
        });
    }
    Ok(())
}

/// Whether a name may become a folder of results: lower-case letters, digits and hyphens only.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    !name.is_empty() && name.chars().all(plain)
}

/// The part of a spec that a cell computes with, every value in its range and every named input present.
fn checked_config(spec: SpecFile, file: &str, root: &Path) -> Result<CellConfig, HarnessError> {
    let refuse =
        |key: &str, problem: String| HarnessError::InvalidValue { origin: file.into(), key: key.into(), problem };
    if !is_folder_name(&spec.name) {
        let problem = format!("is `{}`; it names a folder: lower-case letters, digits and hyphens only", spec.name);
        return Err(refuse("name", problem));
    }
    if spec.repetitions == 0 {
        return Err(refuse("repetitions", "is 0, at least 1 is required".into()));
    }
    if !spec.input.block_tokens.is_power_of_two() {
        let problem = format!("is {}, a power of two is required, such as 128", spec.input.block_tokens);
        return Err(refuse("input.block_tokens", problem));
    }
    if spec.engine.threads == Some(0) {
        return Err(refuse("engine.threads", "is 0, at least 1 is required; leave it out for one per core".into()));
    }
    if spec.engine.functions == Functions::Exact && spec.mode == Mode::Encrypted {
        let problem = "is `exact`, but ciphertexts are computed with by polynomials; use mode `clear` or `metered`";
        return Err(refuse("engine.functions", problem.into()));
    }
    if spec.engine.noise != Noise::None && spec.mode != Mode::Clear {
        let problem = format!("is `modelled`, but noise is modelled in mode `clear` alone, not `{}`", spec.mode);
        return Err(refuse("engine.noise", problem));
    }
    match spec.engine.bootstrap_bits {
        Some(bits) if !(1.0..=40.0).contains(&bits) => {
            return Err(refuse("engine.bootstrap_bits", format!("is {bits}, 1 to 40 are possible")));
        }
        Some(bits) if spec.engine.noise != Noise::Modelled => {
            let problem = format!("is {bits}, but no noise is modelled; add engine.noise = \"modelled\"");
            return Err(refuse("engine.bootstrap_bits", problem));
        }
        _ => (),
    }
    if spec.engine.device != ComputeDevice::Cpu && spec.mode != Mode::Encrypted {
        let (device, mode) = (spec.engine.device, spec.mode);
        let problem = format!("is `{device}`, but no ciphertexts are computed with in mode `{mode}`; leave it out");
        return Err(refuse(DEVICE, problem));
    }
    let SpecFile { circuit, mode, ref softmax, ref engine, ref attention, .. } = spec;
    if let Some(text) = spec.input.text.as_ref().filter(|_| circuit == CircuitKind::Softmax) {
        let problem =
            format!("is `{}`, but SoftMax alone runs one block; name prompts by input.prompts", text.display());
        return Err(refuse("input.text", problem));
    }
    if let Some((key, problem)) = softmax.problem(circuit, mode, engine.functions, attention.products) {
        return Err(refuse(key, problem));
    }
    let of_generation = spec.generation.as_ref();
    if let Some((key, problem)) =
        of_generation.and_then(|section| section.problem(circuit, &spec.input, softmax.variant))
    {
        return Err(refuse(key, problem));
    }
    for (key, limit) in [("limits.seconds", spec.limits.seconds), ("limits.memory_gib", spec.limits.memory_gib)] {
        if let Some(limit) = limit.filter(|limit| !limit.is_finite() || *limit <= 0.0) {
            return Err(refuse(key, format!("is {limit}, a positive number is required")));
        }
    }
    if !(2..=15).contains(&spec.engine.weight_bits) {
        let problem = format!("is {}, 2 to 15 are computed with", spec.engine.weight_bits);
        return Err(refuse("engine.weight_bits", problem));
    }
    let input = checked_input(spec.input, spec.mode, file)?;
    if spec.model.assumed_ranges.is_some() && input.tokens.is_none() {
        let problem = "is given, but only a metered run of input.tokens does with ranges that nobody measured; calibrate the model";
        return Err(refuse("model.assumed_ranges", problem.into()));
    }
    let context = spec.context.unwrap_or_default().resolved(circuit, &input);
    let context = context.map_err(|(key, problem)| refuse(key, problem))?;
    let model = preset::resolve(spec.model, input.tokens.is_some(), file, root)?;
    let prefix = spec.mitigation.prefix.or_else(|| preset::public_prefix(&model.path).map(str::to_owned));
    let mitigation = MitigationSection { prefix: prefix.filter(|_| spec.mitigation.prepend), ..spec.mitigation };
    let inputs = [
        ("input.text", input.text.as_ref()),
        ("context.text", context.as_ref().and_then(|context| context.text.as_ref())),
        ("model.path", Some(&model.path)),
        ("model.ranges", model.ranges.as_ref()),
        ("model.calibration_text", model.calibration_text.as_ref()),
        ("model.assumed_ranges", model.assumed_ranges.as_ref()),
    ];
    for (key, path) in inputs {
        if let Some(path) = path.filter(|path| !root.join(path).exists()) {
            return Err(HarnessError::InputNotFound { key: key.into(), path: path.clone(), directory: root.into() });
        }
    }
    let threads = spec.engine.threads.unwrap_or_else(machine::cores);
    Ok(CellConfig {
        mode: spec.mode,
        circuit: spec.circuit,
        model,
        input,
        context,
        mitigation,
        softmax: spec.softmax,
        attention: spec.attention,
        generation: spec.generation,
        engine: EngineSection { threads: Some(threads), ..spec.engine },
        limits: spec.limits,
    })
}

/// Windows of a text if a spec does not say how many.
const USUAL_WINDOWS: usize = 16;

/// Prompts, windows of a text, or a number of tokens where nothing is computed with them.
fn checked_input(input: InputSection, mode: Mode, file: &str) -> Result<InputSection, HarnessError> {
    let refuse =
        |key: &str, problem: String| Err(HarnessError::InvalidValue { origin: file.into(), key: key.into(), problem });
    if let Some(windows) = input.windows.filter(|_| input.text.is_none()) {
        return refuse("input.windows", format!("is {windows}, but no input.text is there to cut them from"));
    }
    if let Some(text) = &input.text {
        let named = text.display();
        let other = [("input.prompts", input.prompts.is_some()), ("input.tokens", input.tokens.is_some())];
        if let Some((other, _)) = other.into_iter().find(|(_, given)| *given) {
            return refuse("input.text", format!("is `{named}` beside {other}; name one"));
        }
        if mode != Mode::Clear {
            let problem = format!(
                "is `{named}`, but mode `{mode}` runs one block; name prompts by input.prompts, or use mode `clear`"
            );
            return refuse("input.text", problem);
        }
        if input.windows == Some(0) {
            return refuse("input.windows", "is 0, at least 1 is required".into());
        }
        return Ok(InputSection { windows: Some(input.windows.unwrap_or(USUAL_WINDOWS)), ..input });
    }
    match (&input.prompts, input.tokens) {
        (Some(_), None) => Ok(input),
        (None, None) => {
            let problem = "is missing: name prompts, in mode `clear` windows of a text by input.text, or in mode `metered` a number of tokens by input.tokens";
            refuse("input.prompts", problem.into())
        }
        (Some(_), Some(tokens)) => refuse(
            "input.tokens",
            format!("is {tokens} beside input.prompts; a block holds prompts or so many tokens, name one"),
        ),
        (None, Some(tokens)) if mode != Mode::Metered => {
            let problem = format!(
                "is {tokens}, but mode `{mode}` computes with data; name prompts by input.prompts, or use mode `metered`"
            );
            refuse("input.tokens", problem)
        }
        (None, Some(tokens)) if !tokens.is_power_of_two() || tokens < 2 => {
            refuse("input.tokens", format!("is {tokens}, a power of two is required, such as 128"))
        }
        (None, Some(tokens)) => Ok(InputSection { block_tokens: tokens, ..input }),
    }
}
