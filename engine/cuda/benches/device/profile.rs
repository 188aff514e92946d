//! Which kernels take how long in a larger program.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use fhe_cuda::{CudaError, Device, Driver, DriverMemory, Kernel, Launch, Moment};

/// What was launched, and when it began and ended.
type Timed = (Kernel, [Moment; 2]);

/// A device that notes the time before and after each launch while it is asked to.
pub(crate) struct Profiled {
    driver: Driver,
    launches: Mutex<Option<Vec<Timed>>>,
}

/// Launches of one kernel.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) launches: usize,
    pub(crate) seconds: f64,
}

impl Profiled {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { driver, launches: Mutex::new(None) }
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Runs `program` and returns the time that each kernel took on the device.
    pub(crate) fn profile(&self, program: impl FnOnce()) -> Result<BTreeMap<&'static str, Share>, CudaError> {
        *self.launches.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        program();
        let launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        self.driver.synchronize()?;
        let mut shares = BTreeMap::<&'static str, Share>::new();
        for (kernel, [start, end]) in launches {
            let share = shares.entry(kernel.name()).or_default();
            share.launches += 1;
            share.seconds += self.driver.seconds_between(&start, &end)?;
        }
        Ok(shares)
    }
}

impl Device for Profiled {
    type Memory = DriverMemory;

    fn allocate(&self, words: usize) -> Result<DriverMemory, CudaError> {
        self.driver.allocate(words)
    }

    fn allocate_together(&self, count: usize, words: usize) -> Result<Vec<DriverMemory>, CudaError> {
        self.driver.allocate_together(count, words)
    }

    fn zeros(&self, words: usize) -> Result<DriverMemory, CudaError> {
        self.driver.zeros(words)
    }

    fn upload(&self, words: &[u64]) -> Result<DriverMemory, CudaError> {
        self.driver.upload(words)
    }

    fn download(&self, memory: &DriverMemory) -> Result<Vec<u64>, CudaError> {
        self.driver.download(memory)
    }

    fn words(&self, memory: &DriverMemory) -> usize {
        self.driver.words(memory)
    }

    fn address(&self, memory: &DriverMemory) -> u64 {
        self.driver.address(memory)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let mut launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(launches) = launches.as_mut() else {
            // SAFETY: promised by the caller.
            return unsafe { self.driver.launch(launch) };
        };
        let start = self.driver.moment()?;
        // SAFETY: promised by the caller.
        unsafe { self.driver.launch(launch) }?;
        launches.push((launch.kernel, [start, self.driver.moment()?]));
        Ok(())
    }
}
