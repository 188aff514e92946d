//! [`SlotArithmetic`] and [`Evaluator`] for the encrypted server: each operation is described there and carried out by its topic's file.

use fhe_ring::{Backend, IntegerMatrix};

use super::{CkksServer, CoefficientCiphertext, EncryptedRows, EncryptedVector, SlotCiphertext};
use crate::{
    CircuitShape, CkksError, Copies, Evaluator, Level, OperationCounts, Packing, PeriodicMatrix, Plaintext, Rotation,
    SlotArithmetic, Spacing, transforms::slot_transform::SlotTransform,
};

impl<B: Backend> SlotArithmetic for CkksServer<B> {
    type Slots = SlotCiphertext<B>;

    fn shape(&self) -> &CircuitShape {
        self.parameters.shape()
    }

    fn level(&self, x: &Self::Slots) -> Level {
        x.level
    }

    fn counts(&self) -> OperationCounts {
        self.operation_counts()
    }

    fn holds_data(&self) -> bool {
        B::HOLDS_DATA
    }

    fn add(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.add_slots(a, b, false)
    }

    fn subtract(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.add_slots(a, b, true)
    }

    fn add_constant(&self, a: &Self::Slots, constant: f64) -> Result<Self::Slots, CkksError> {
        self.add_constant_slots(a, constant)
    }

    fn multiply_integer(&self, a: &Self::Slots, factor: i64) -> Result<Self::Slots, CkksError> {
        self.multiply_integer_slots(a, factor)
    }

    fn multiply(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.multiply_slots(a, b)
    }

    fn square(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.multiply_slots(a, a)
    }

    fn linear_combination(&self, terms: &[(&Self::Slots, f64)], constant: f64) -> Result<Self::Slots, CkksError> {
        self.constant_combination(terms, constant)
    }

    fn lower(&self, a: &Self::Slots, level: Level) -> Result<Self::Slots, CkksError> {
        self.lower_slots(a, level)
    }

    /// A server that plans computes nothing.
    fn functions_are_exact(&self) -> bool {
        self.is_planning()
    }
}

impl<B: Backend> Evaluator for CkksServer<B> {
    type Coefficients = CoefficientCiphertext<B>;
    type Rows = EncryptedRows<B>;
    type VectorParts = EncryptedVector<B>;

    fn add_plain<'p>(&self, a: &Self::Slots, plain: impl Into<Plaintext<'p>>) -> Result<Self::Slots, CkksError> {
        self.add_plain_slots(a, plain.into())
    }

    fn plain_combination<'p, P: Into<Plaintext<'p>> + Copy>(
        &self,
        terms: &[(&Self::Slots, P)],
    ) -> Result<Self::Slots, CkksError> {
        self.vector_combination(&terms.iter().map(|&(x, plain)| (x, plain.into())).collect::<Vec<_>>())
    }

    fn periodic_products(
        &self,
        inputs: &[&Self::Slots],
        matrix: &PeriodicMatrix<'_>,
    ) -> Result<Vec<Self::Slots>, CkksError> {
        self.multiply_periodic(inputs, matrix)
    }

    fn rotate(&self, a: &Self::Slots, rotation: Rotation) -> Result<Self::Slots, CkksError> {
        Ok(self.rotate_slots(a, &[rotation])?.remove(0))
    }

    fn rotate_hoisted(&self, a: &Self::Slots, rotations: &[Rotation]) -> Result<Vec<Self::Slots>, CkksError> {
        self.rotate_slots(a, rotations)
    }

    fn transform(&self, inputs: &[&Self::Slots], map: &SlotTransform) -> Result<Vec<Self::Slots>, CkksError> {
        self.transform_slots(inputs, map)
    }

    fn conjugate(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.conjugate_slots(a)
    }

    fn multiply_imaginary(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.imaginary_slots(a, 1)
    }

    fn packing(&self, x: &Self::Slots) -> Packing {
        x.packing()
    }

    fn to_complex(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.real_to_complex(a)
    }

    fn to_real(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError> {
        self.complex_to_real(a)
    }

    fn sparse_slots_to_coefficients(
        &self,
        slots: &Self::Slots,
        copies: Copies,
        unit: f64,
    ) -> Result<Self::Coefficients, CkksError> {
        self.descend(slots, copies, unit)
    }

    fn spaced_slots_to_coefficients(
        &self,
        slots: &Self::Slots,
        spacing: Spacing,
        unit: f64,
    ) -> Result<Self::Coefficients, CkksError> {
        self.descend_spaced(slots, spacing, unit)
    }

    fn sparse_half_bootstrap(
        &self,
        inputs: &[&Self::Coefficients],
        copies: Copies,
        levels: usize,
    ) -> Result<Vec<Self::Slots>, CkksError> {
        self.ascend(inputs, copies, levels)
    }

    fn unit(&self, a: &Self::Coefficients) -> f64 {
        a.unit
    }

    fn add_coefficients(
        &self,
        a: &Self::Coefficients,
        b: &Self::Coefficients,
    ) -> Result<Self::Coefficients, CkksError> {
        self.add_lowest(a, b)
    }

    fn magnify(&self, a: &Self::Coefficients, factor: u64) -> Result<Self::Coefficients, CkksError> {
        self.magnify_lowest(a, factor)
    }

    fn save_slots(&self, a: &Self::Slots) -> Result<Vec<u8>, CkksError> {
        self.save_in_region(a)
    }

    fn restore_slots(&self, bytes: &[u8]) -> Result<Self::Slots, CkksError> {
        self.restore_in_region(bytes)
    }

    fn save(&self, a: &Self::Coefficients) -> Result<Vec<u8>, CkksError> {
        Ok(self.save_lowest(a))
    }

    fn restore(&self, bytes: &[u8]) -> Result<Self::Coefficients, CkksError> {
        self.restore_lowest(bytes)
    }

    fn module_rows(&self, inputs: &[&Self::Coefficients], tokens: usize) -> Result<Self::Rows, CkksError> {
        self.split_rows(inputs, tokens)
    }

    fn integer_product(&self, weights: &IntegerMatrix, scale: f64, rows: &Self::Rows) -> Result<Self::Rows, CkksError> {
        self.multiply_rows(weights, scale, rows)
    }

    fn packed_product(
        &self,
        weights: &IntegerMatrix,
        scale: f64,
        rows: &Self::Rows,
    ) -> Result<Vec<Self::Coefficients>, CkksError> {
        self.product_on_all_shards(weights, scale, rows)
    }

    fn pack_rows(&self, rows: &Self::Rows) -> Result<Vec<Self::Coefficients>, CkksError> {
        self.join_rows(rows)
    }

    fn split_vector(
        &self,
        inputs: &[&Self::Coefficients],
        block: usize,
        parts: usize,
    ) -> Result<Self::VectorParts, CkksError> {
        self.split_parts(inputs, block, parts)
    }

    fn vector_products(
        &self,
        weights: &[IntegerMatrix],
        scale: f64,
        vector: &Self::VectorParts,
    ) -> Result<Vec<Self::Coefficients>, CkksError> {
        self.multiply_vector(weights, scale, vector)
    }
}
