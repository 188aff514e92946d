//! Data owner and server of an encrypted run, on the device that the cell asks for.

use std::sync::Arc;
use std::time::Instant;

use fhe_ckks::{CkksClient, CkksServer, Client, Parameters, RemoteClient};
use fhe_cuda::CudaError;
use fhe_ring::{Backend, Counting, Cpu, Seed};
use fhe_rlwe::{KeyRequests, KeyStore};
use fhe_shards::Traffic;

use super::gpus;
use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::record::PhaseSeconds;
use crate::spec::ComputeDevice;

/// A server that counts what it does.
pub(super) type Server<B> = CkksServer<Counting<B>>;

/// What a run asks of the device beside arithmetic.
pub trait Compute: Backend {
    /// Waits until all that was asked for is done, so that a clock that is read then shows who took the time.
    fn settle(&self) -> Result<(), HarnessError>;
    /// Memory of the device that is in use, what its pool keeps for later included, where it is not the process's own. As nothing leaves the
    /// pool unless memory runs short, that is what the run has needed so far. Of several devices the sum.
    fn device_bytes(&self) -> Result<u64, HarnessError>;
    /// What has been copied between devices, if there are several.
    fn traffic(&self) -> Option<Traffic> {
        None
    }
}

impl Compute for Cpu {
    fn settle(&self) -> Result<(), HarnessError> {
        Ok(())
    }

    fn device_bytes(&self) -> Result<u64, HarnessError> {
        Ok(0)
    }
}

/// Who runs a circuit, and who gives it data and looks at what comes out. The client computes with a backend of its own, so that the
/// server's counts are the server's alone, and always on the CPU, where its secrets stay.
pub(super) struct Parties<B: Backend, C> {
    pub(super) client: C,
    pub(super) server: Server<B>,
}

/// What to do with parties on any device.
pub(super) trait Program {
    /// Runs on a device. So many seconds were spent before, the making of the parties included.
    fn run<B: Compute, C: Client<Server<B>>>(
        self,
        parties: Parties<B, C>,
        spent: PhaseSeconds,
    ) -> Result<(), HarnessError>;
}

/// What parties need.
pub(super) struct Setting<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) requests: &'a KeyRequests,
    /// Most bytes of the server at once.
    pub(super) server_bytes: u64,
    pub(super) seed: Seed,
    pub(super) progress: &'a dyn ProgressSink,
}

impl Setting<'_> {
    /// Makes the data owner with the secrets of this cell and a server with the keys that the plan asks for, and runs a program on them.
    pub(super) fn run(
        &self,
        device: ComputeDevice,
        mut spent: PhaseSeconds,
        program: impl Program,
    ) -> Result<(), HarnessError> {
        let cpu = || Arc::new(Counting::new(Cpu::new(self.parameters.rlwe().chain().clone())));
        match device {
            ComputeDevice::Cpu => {
                let client = CkksClient::new(cpu(), self.parameters.clone(), &self.seed).map_err(failed)?;
                let keys = |requests: &_, done: &dyn Fn(usize)| client.evaluation_keys(requests, done);
                let server = self.server(cpu(), &mut spent, keys)?;
                program.run(Parties { client, server }, spent)
            }
            ComputeDevice::Cuda(named) => {
                let unusable = |source| HarnessError::Gpu { device, source };
                let start = || gpus::start(self.parameters.rlwe().chain(), named);
                let (started, took) = self.progress.phase("start the GPU", start);
                spent.set_up += took;
                let started = started.map_err(unusable)?;
                // Keys and plaintexts are needed on every one.
                let [available, total] = gpus::least_memory(&started).map_err(unusable)?;
                if self.server_bytes > available {
                    return Err(unusable(CudaError::OutOfMemory { required: self.server_bytes, available, total }));
                }
                let there = Arc::new(Counting::new(started));
                let client = RemoteClient::new(cpu(), Arc::clone(&there), self.parameters.clone(), &self.seed);
                let client = client.map_err(failed)?;
                let keys = |requests: &_, done: &dyn Fn(usize)| client.evaluation_keys(requests, done);
                let server = self.server(there, &mut spent, keys)?;
                program.run(Parties { client, server }, spent)
            }
        }
    }

    /// A server with keys that the client generates.
    fn server<B: Backend>(
        &self,
        backend: Arc<Counting<B>>,
        spent: &mut PhaseSeconds,
        generate: impl FnOnce(&KeyRequests, &dyn Fn(usize)) -> Result<KeyStore<Counting<B>>, fhe_ckks::CkksError>,
    ) -> Result<Server<B>, HarnessError> {
        const KEYS: &str = "keys";
        let Self { parameters, requests, progress, .. } = self;
        let (keys, seconds) = progress.phase(KEYS, || {
            let clock = Instant::now();
            generate(requests, &|done| progress.step(KEYS, done as u64, requests.len() as u64, clock))
        });
        spent.keys = seconds;
        spent.client += seconds;
        let keys = keys.map_err(|error| HarnessError::execution("generate the evaluation keys", error))?;
        let encode = || CkksServer::new(backend, (*parameters).clone(), keys);
        let (server, seconds) = progress.phase("encode tables", encode);
        spent.set_up += seconds;
        server.map_err(failed)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HarnessError {
    HarnessError::execution("set up the encrypted run", error)
}
