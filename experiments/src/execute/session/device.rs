//! A server on the device that its settings ask for.

use std::io::{Read, Write};
use std::sync::Arc;

use fhe_ring::{Counting, Cpu};

use super::{Common, Line, Server};
use crate::error::HarnessError;
use crate::execute::gpus;
use crate::spec::ComputeDevice;

/// Serves sessions over a line until the client has none left.
///
/// # Errors
/// [`HarnessError::Gpu`] for a device that cannot be used; [`HarnessError::Session`] for why it stopped, which the client has been told.
pub fn serve<R: Read, W: Write>(common: &Common, line: &mut Line<R, W>) -> Result<(), HarnessError> {
    let chain = common.parameters().rlwe().chain();
    match common.config().engine.device {
        ComputeDevice::Cpu => Server::new(common, Arc::new(Counting::new(Cpu::new(chain.clone())))).serve(line),
        device @ ComputeDevice::Cuda(gpus) => {
            let started = gpus::start(chain, gpus).map_err(|source| HarnessError::Gpu { device, source })?;
            Server::new(common, Arc::new(Counting::new(started))).serve(line)
        }
    }
    .map_err(HarnessError::Session)
}
