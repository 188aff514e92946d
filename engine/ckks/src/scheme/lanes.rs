//! Products of two encrypted matrices, and linear maps on real slots.

use fhe_ring::Backend;

use super::{
    CkksServer, LaneCiphertext, SlotCiphertext,
    coefficients::same_unit,
    descending::Destination,
    linear_transform::{EncodedTransform, Encoding},
};
use crate::{
    CkksError, CoefficientCiphertext, LaneProducts, Packing,
    transforms::{diagonals::check_length, slot_transform::SlotTransform},
};

/// What all of some ciphertexts of lanes have for a unit.
fn common_unit<B: Backend>(operation: &'static str, list: &[&LaneCiphertext<B>]) -> Result<f64, CkksError> {
    let Some(first) = list.first() else {
        return Err(CkksError::Precondition {
            operation,
            operand: "ciphertexts of lanes",
            found: "none".into(),
            required: "at least one".into(),
            remedy: "pass the ciphertexts of a matrix",
        });
    };
    list.iter().try_for_each(|other| same_unit(operation, other.unit, first.unit))?;
    Ok(first.unit)
}

impl<B: Backend> CkksServer<B> {
    fn require_packing(
        &self,
        operation: &'static str,
        inputs: &[&SlotCiphertext<B>],
        required: Packing,
    ) -> Result<(), CkksError> {
        match inputs.iter().find(|input| input.packing() != required) {
            None => Ok(()),
            Some(other) => Err(CkksError::Precondition {
                operation,
                operand: "packing",
                found: format!("{:?}", other.packing()),
                required: format!("{required:?}"),
                remedy: "convert with to_real or to_complex",
            }),
        }
    }

    /// A linear map on real slots; one level below the lowest of the inputs.
    pub(super) fn transform_slots(
        &self,
        inputs: &[&SlotCiphertext<B>],
        map: &SlotTransform,
    ) -> Result<Vec<SlotCiphertext<B>>, CkksError> {
        const OPERATION: &str = "transform";
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        self.require_packing(OPERATION, inputs, Packing::Real)?;
        check_length(OPERATION, "the map", map.slots(), self.parameters.shape().degree)?;
        let (level, landing) = self.meet(OPERATION, inputs)?;
        let below = self.rescalable(OPERATION, level, landing)?;
        let lowered = inputs.iter().map(|x| self.lower_slots(x, level)).collect::<Result<Vec<_>, _>>()?;
        let encoding = Encoding {
            basis: lowered[0].ciphertext.basis(),
            scale: self.accumulated_scale(below, landing) / self.scale_of(&lowered[0]) * map.factor(),
            packing: Packing::Real,
        };
        let embed = || map.coefficients(self.encoder.embedding());
        let coefficients = if B::HOLDS_DATA { Some(embed()?) } else { None };
        let plan = map.plan().clone();
        let encoded = EncodedTransform::of_coefficients(&self.switcher, &self.encoder, plan, coefficients, encoding)?;
        let batch: Vec<_> = lowered.iter().map(|x| x.ciphertext.duplicate(self.backend())).collect();
        let images = self.transform(&batch, &encoded)?;
        Ok(images.into_iter().map(|image| SlotCiphertext::new(image, below, landing)).collect())
    }
}

impl<B: Backend> LaneProducts for CkksServer<B> {
    type Lanes = LaneCiphertext<B>;

    fn slots_to_lanes(
        &self,
        inputs: &[&SlotCiphertext<B>],
        lanes: usize,
        unit: f64,
    ) -> Result<Vec<Vec<LaneCiphertext<B>>>, CkksError> {
        const OPERATION: &str = "slots_to_lanes";
        self.parameters.shape().check_lanes(OPERATION, lanes)?;
        self.require_packing(OPERATION, inputs, Packing::Real)?;
        let factors = self.descend_to(OPERATION, inputs, Destination::Lanes(lanes), unit)?;
        self.count(|c| c.slots_to_lanes += inputs.len() as u64);
        (factors.iter())
            .map(|factor| {
                let split = self.switcher.split_lanes(factor)?;
                Ok(split.into_iter().map(|ciphertext| LaneCiphertext::new(ciphertext, unit)).collect())
            })
            .collect()
    }

    fn split_row_parity(&self, a: &LaneCiphertext<B>) -> Result<[LaneCiphertext<B>; 2], CkksError> {
        let parts = self.switcher.split_row_parity(&a.ciphertext)?;
        self.count(|c| c.lane_parity_splits += 1);
        Ok(parts.map(|part| LaneCiphertext::new(part, a.unit)))
    }

    fn join_row_parity(
        &self,
        even: &LaneCiphertext<B>,
        odd: &LaneCiphertext<B>,
    ) -> Result<LaneCiphertext<B>, CkksError> {
        same_unit("join_row_parity", odd.unit, even.unit)?;
        let backend = self.backend();
        let mut sum = even.ciphertext.duplicate(backend);
        let odd = odd.ciphertext.duplicate(backend).into_domain(backend, sum.shape().domain);
        for (sum, odd) in sum.halves_mut().into_iter().zip(odd.halves()) {
            sum.add_assign(backend, &odd.multiply_monomial(backend, 1)?)?;
        }
        Ok(LaneCiphertext::new(sum, even.unit))
    }

    fn transpose_lanes(
        &self,
        inputs: &[&LaneCiphertext<B>],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<LaneCiphertext<B>>, CkksError> {
        const OPERATION: &str = "transpose_lanes";
        self.parameters.shape().check_lanes(OPERATION, lanes)?;
        let unit = common_unit(OPERATION, inputs)?;
        let inputs: Vec<_> = inputs.iter().map(|input| input.ciphertext.as_ref()).collect();
        let transposed = self.switcher.transpose_lanes(&inputs, self.parameters.shape().lane_rows(lanes), count)?;
        self.count(|c| c.lane_transposes += 1);
        Ok(transposed.into_iter().map(|ciphertext| LaneCiphertext::new(ciphertext, unit)).collect())
    }

    fn multiply_lanes(
        &self,
        left: &[&LaneCiphertext<B>],
        right: &[&LaneCiphertext<B>],
        lanes: usize,
        count: usize,
    ) -> Result<Vec<LaneCiphertext<B>>, CkksError> {
        const OPERATION: &str = "multiply_lanes";
        let shape = self.parameters.shape();
        shape.check_lanes(OPERATION, lanes)?;
        let unit = common_unit(OPERATION, left)? * common_unit(OPERATION, right)? / shape.lane_divisor;
        let [left, right] = [left, right].map(|list| list.iter().map(|x| x.ciphertext.as_ref()).collect::<Vec<_>>());
        let product = self.switcher.multiply_lanes(&left, &right, shape.lane_rows(lanes), count)?;
        self.count(|c| c.lane_products += 1);
        Ok(product.into_iter().map(|ciphertext| LaneCiphertext::new(ciphertext, unit)).collect())
    }

    fn join_lanes(&self, parts: &[&LaneCiphertext<B>]) -> Result<CoefficientCiphertext<B>, CkksError> {
        let unit = common_unit("join_lanes", parts)?;
        let parts: Vec<_> = parts.iter().map(|part| part.ciphertext.duplicate(self.backend())).collect();
        let joined = self.switcher.join_lanes(&parts)?;
        self.count(|c| c.lane_joins += 1);
        Ok(CoefficientCiphertext::new(joined, unit))
    }
}
