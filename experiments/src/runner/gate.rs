//! Which cells may run beside which.

use crate::format;
use crate::spec::ComputeDevice;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a cell will hold of the machine, as far as it is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Memory.
    pub(super) memory_bytes: Option<u64>,
    /// What computes: a GPU computes for one cell at a time, because nobody counts its memory here.
    pub(super) device: ComputeDevice,
}

/// Lets cells in while what they demand fits beside what those before them do.
#[derive(Debug)]
pub(super) struct Gate {
    at_once: usize,
    memory_bytes: u64,
    inside: Mutex<Vec<Demand>>,
    left: Condvar,
}

/// A cell's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    gate: &'a Gate,
    demand: Demand,
}

impl Gate {
    /// Of so many places and so much memory.
    pub(super) fn new(at_once: usize, memory_bytes: u64) -> Self {
        Self { at_once, memory_bytes, inside: Mutex::default(), left: Condvar::new() }
    }

    /// Waits until a cell fits. Whatever it demands, it may run alone. Its demand is asked for anew whenever another cell has left, whose
    /// record may tell more of it; what it waits for, if it has to, is said once.
    ///
    /// # Errors
    /// Those of asking for its demand.
    pub(super) fn enter<E>(
        &self,
        mut demand: impl FnMut() -> Result<Demand, E>,
        say: impl FnOnce(String),
    ) -> Result<Place<'_>, E> {
        let mut say = Some(say);
        let mut inside = self.inside();
        loop {
            let demand = demand()?;
            let Err(reason) = self.admits(demand, &inside) else {
                inside.push(demand);
                return Ok(Place { gate: self, demand });
            };
            if let Some(say) = say.take() {
                say(reason);
            }
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a cell may run beside those inside, or why not.
    fn admits(&self, demand: Demand, inside: &[Demand]) -> Result<(), String> {
        if inside.is_empty() {
            return Ok(());
        }
        if inside.len() >= self.at_once {
            return Err("waits for one of the cells that run to end".into());
        }
        if inside.iter().any(|other| other.device.shares_a_gpu_with(demand.device)) {
            return Err(format!("waits for {} to be free", demand.device));
        }
        let Some(wanted) = demand.memory_bytes else {
            return Err(
                "waits to run alone: nothing is known of the memory that it will hold; limits.memory_gib says".into()
            );
        };
        let held = inside.iter().map(|other| other.memory_bytes).sum::<Option<u64>>();
        let held = held.ok_or("waits for a cell to end of whose memory nothing is known")?;
        if held + wanted > self.memory_bytes {
            let [wanted, held, all] = [wanted, held, self.memory_bytes].map(format::bytes);
            return Err(format!("waits for memory: it may hold {wanted}, and those that run {held} of {all}"));
        }
        Ok(())
    }

    /// A demand is added and taken away as a whole, so a panic elsewhere leaves nothing broken.
    fn inside(&self) -> MutexGuard<'_, Vec<Demand>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        if let Some(position) = inside.iter().position(|demand| *demand == self.demand) {
            inside.swap_remove(position);
        }
        drop(inside);
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(gib: u64) -> Demand {
        Demand { memory_bytes: Some(gib << 30), device: ComputeDevice::Cpu }
    }

    fn admits(inside: &[Demand], demand: Demand) -> Result<(), String> {
        Gate::new(3, 24 << 30).admits(demand, inside)
    }

    #[test]
    fn cells_run_beside_each_other_while_their_memory_fits() {
        assert_eq!(admits(&[cpu(10)], cpu(14)), Ok(()));
        let refused = admits(&[cpu(10), cpu(5)], cpu(10)).unwrap_err();
        assert!(refused.contains("10.0 GiB") && refused.contains("15.0 GiB of 24.0 GiB"), "{refused}");
        assert!(admits(&[cpu(1), cpu(1), cpu(1)], cpu(1)).unwrap_err().contains("one of the cells that run"));
    }

    #[test]
    fn what_nothing_is_known_of_runs_alone() {
        let unknown = Demand { memory_bytes: None, device: ComputeDevice::Cpu };
        assert_eq!(admits(&[], unknown), Ok(()));
        assert!(admits(&[cpu(1)], unknown).unwrap_err().contains("limits.memory_gib"));
        assert!(admits(&[unknown], cpu(1)).unwrap_err().contains("of whose memory nothing is known"));
        // More than there is, too: whether it really needs that is found out by running it.
        assert_eq!(admits(&[], cpu(100)), Ok(()));
    }

    #[test]
    fn a_gpu_computes_for_one_cell_at_a_time() {
        let on = |device: &str| Demand { device: device.parse().unwrap(), ..cpu(1) };
        assert!(admits(&[on("cuda:0,1")], on("cuda:1,2")).unwrap_err().contains("cuda:1,2 to be free"));
        assert_eq!(admits(&[on("cuda")], on("cuda:1")), Ok(()));
        assert_eq!(admits(&[on("cuda")], cpu(1)), Ok(()));
    }

    #[test]
    fn a_place_is_free_again_when_its_cell_has_ended_and_waiting_cells_look_anew() {
        let gate = Gate::new(2, 24 << 30);
        let enter = |demand: Demand| gate.enter(|| Ok::<_, ()>(demand), |reason| panic!("{reason}")).unwrap();
        let (first, other) = (enter(cpu(4)), enter(cpu(4)));
        let said = Mutex::new(None);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                // Nothing is known of it until the first cell has ended.
                let mut known = [None, Some(20 << 30)].into_iter();
                let demand = || Ok::<_, ()>(Demand { memory_bytes: known.next().unwrap(), ..cpu(0) });
                gate.enter(demand, |reason| *said.lock().unwrap() = Some(reason)).unwrap().demand
            });
            while said.lock().unwrap().is_none() {
                std::thread::yield_now();
            }
            drop(first);
            assert_eq!(waiting.join().unwrap(), cpu(20));
        });
        drop(other);
        assert!(gate.inside().is_empty());
    }
}
