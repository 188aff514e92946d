//! Time on the device's own clock.

use cudarc::driver::{CudaEvent, sys::CUevent_flags};

use super::Driver;
use crate::CudaError;

/// When the device had done all work asked for before.
pub struct Moment(CudaEvent);

impl Driver {
    /// Asks the device to note the time when it gets here.
    ///
    /// # Errors
    /// If the driver fails.
    pub fn moment(&self) -> Result<Moment, CudaError> {
        let event = self.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        Ok(Moment(event.map_err(|error| self.failure("noting the time", error))?))
    }

    /// Seconds from one moment to a later one, for which this waits.
    ///
    /// # Errors
    /// If a launch failed.
    pub fn seconds_between(&self, start: &Moment, end: &Moment) -> Result<f64, CudaError> {
        let milliseconds = start.0.elapsed_ms(&end.0).map_err(|error| self.failure("reading the clock", error))?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}
