//! Word by word: sums, products, constants, copies.

use fhe_ring::{Basis, Operand, Pair, Ring, Seed, Shape, limb_seeds};

use crate::{Cuda, CudaError, Device, Kernel, cuda::Place, launch, tables::multipliers};

impl<D: Device> Cuda<D> {
    /// One word for each coefficient travels, however many primes there are.
    pub(crate) fn residues_of(&self, shape: Shape, coefficients: &[i64]) -> Result<D::Memory, CudaError> {
        assert_eq!(
            coefficients.len(),
            shape.ring.degree(),
            "upload_signed: a coefficient is required for each power of X"
        );
        // SAFETY: signed and unsigned words have one size, and each pattern of bits is one of either kind.
        let words = unsafe { std::slice::from_raw_parts(coefficients.as_ptr().cast::<u64>(), coefficients.len()) };
        let words = self.device.upload(words)?;
        let target = self.allocate(shape)?;
        let arguments = [self.place_of(&target, shape).address, self.device.address(&words)];
        // SAFETY: there is a coefficient for each word of a limb; the target is new and has the words of its shape.
        unsafe { self.on_words(Kernel::ReduceSigned, shape.ring, shape.basis, &arguments) }?;
        Ok(target)
    }

    /// The residues that a public seed stands for.
    pub(crate) fn uniform_residues(&self, shape: Shape, seed: &Seed) -> Result<D::Memory, CudaError> {
        let keys: Vec<u64> = (limb_seeds(seed, &self.chain, shape.basis))
            .flat_map(|seed| {
                seed.as_bytes().as_chunks::<8>().0.iter().map(|&word| u64::from_le_bytes(word)).collect::<Vec<_>>()
            })
            .collect();
        let keys = self.device.upload(&keys)?;
        let target = self.allocate(shape)?;
        let arguments = vec![
            self.place_of(&target, shape).address,
            self.device.address(&keys),
            shape.ring.log_degree.into(),
            self.primes(shape.basis)?,
            self.moduli(),
        ];
        // SAFETY: there is a key of four words for each limb of the target, which is new and has the words of its shape.
        unsafe { self.launch(&launch::uniform_limbs(shape.basis.len(), arguments)) }?;
        Ok(target)
    }

    /// `target = kernel(target, other)`.
    pub(crate) fn assign(
        &self,
        kernel: Kernel,
        target: &mut D::Memory,
        other: Operand<'_, D::Memory>,
    ) -> Result<(), CudaError> {
        let Shape { ring, basis, .. } = other.shape;
        let arguments = [self.place_of(target, other.shape).address, self.place(other).address];
        // SAFETY: both buffers have the words of this shape, and the target is borrowed mutably.
        unsafe { self.on_words(kernel, ring, basis, &arguments) }
    }

    pub(crate) fn negate_words(&self, target: &mut D::Memory, shape: Shape) -> Result<(), CudaError> {
        let arguments = [self.place_of(target, shape).address];
        // SAFETY: the buffer has the words of its shape and is borrowed mutably.
        unsafe { self.on_words(Kernel::Negate, shape.ring, shape.basis, &arguments) }
    }

    /// `target = left * right`, or added to it. Right factors may have more primes.
    pub(crate) fn product(
        &self,
        kernel: Kernel,
        target: &mut D::Memory,
        left: Operand<'_, D::Memory>,
        right: Operand<'_, D::Memory>,
    ) -> Result<(), CudaError> {
        let Shape { ring, basis, .. } = left.shape;
        let [right, right_limbs] = [self.place(right).address, self.all_positions(basis, right.shape.basis)?];
        let arguments = [self.place_of(target, left.shape).address, self.place(left).address, right, right_limbs];
        // SAFETY: all buffers have the words of their shapes, the right factor has a limb for each of the left one's, and
        // the target is borrowed mutably.
        unsafe { self.on_words(kernel, ring, basis, &arguments) }
    }

    pub(crate) fn combine(
        &self,
        terms: &[(Operand<'_, D::Memory>, Vec<u64>)],
        target: Shape,
    ) -> Result<D::Memory, CudaError> {
        let Shape { ring, basis, .. } = target;
        let mut table = Vec::new();
        for (term, _) in terms {
            assert!(term.shape.basis.contains(basis), "linear_combination: a term lacks primes of the target");
            table.extend(self.operand(*term, basis)?);
        }
        let constants = table.len();
        table.extend((0..basis.len()).flat_map(|limb| terms.iter().map(move |(_, constants)| constants[limb])));
        let table = self.device.upload(&table)?;
        let sum = self.allocate(target)?;
        let table = self.device.address(&table);
        let constants = table + (constants * size_of::<u64>()) as u64;
        let arguments = [self.place_of(&sum, target).address, table, constants, terms.len() as u64];
        // SAFETY: the table has an operand for each term, which has all limbs, and a constant for each limb and term; the
        // sum is new.
        unsafe { self.on_words(Kernel::LinearCombination, ring, basis, &arguments) }?;
        Ok(sum)
    }

    pub(crate) fn tensor_product(
        &self,
        left: Pair<'_, D::Memory>,
        right: Pair<'_, D::Memory>,
    ) -> Result<[D::Memory; 3], CudaError> {
        let shape = left[0].shape;
        assert_eq!((shape, right[0].shape), (left[1].shape, right[1].shape), "tensor: halves of different shapes");
        let [constant, linear, quadratic] = [(); 3].map(|()| self.allocate(shape));
        let parts = [constant?, linear?, quadratic?];
        let mut arguments: Vec<u64> = parts.iter().map(|part| self.place_of(part, shape).address).collect();
        arguments.extend([left[0], left[1], right[0], right[1]].map(|half| self.place(half).address));
        arguments.push(self.all_positions(shape.basis, right[0].shape.basis)?);
        // SAFETY: all halves have the words of their shapes, the right ones a limb for each of the left ones'; the parts are
        // new.
        unsafe { self.on_words(Kernel::Tensor, shape.ring, shape.basis, &arguments) }?;
        Ok(parts)
    }

    pub(crate) fn scale_limbs(&self, target: &mut D::Memory, shape: Shape, constants: &[u64]) -> Result<(), CudaError> {
        assert_eq!(constants.len(), shape.basis.len(), "scale: a constant is required for each limb");
        let factors = self.device.upload(&multipliers(&self.chain, shape.basis, constants))?;
        let target = self.place_of(target, shape);
        // SAFETY: the buffer has the words of its shape and is borrowed mutably; there is a factor for each limb.
        unsafe { self.scaled(shape.ring, target, target, self.device.address(&factors)) }
    }

    /// `target = factor * source` limb by limb, zero where the source has no limb.
    ///
    /// # Safety
    /// The places are those of live polynomials of this ring, and nobody else uses the target. At `factors` is a
    /// `Multiplier` for each limb of the target.
    pub(crate) unsafe fn scaled(
        &self,
        ring: Ring,
        target: Place,
        source: Place,
        factors: u64,
    ) -> Result<(), CudaError> {
        let limbs = self.positions(target.basis, source.basis)?;
        // SAFETY: promised by the caller; the positions lie within the source.
        unsafe { self.on_words(Kernel::Scale, ring, target.basis, &[target.address, source.address, limbs, factors]) }
    }

    pub(crate) fn add_to_limbs(
        &self,
        target: &mut D::Memory,
        shape: Shape,
        constants: &[u64],
    ) -> Result<(), CudaError> {
        assert_eq!(constants.len(), shape.basis.len(), "add_constant: a constant is required for each limb");
        let constants = self.device.upload(constants)?;
        let arguments = [self.place_of(target, shape).address, self.device.address(&constants)];
        // SAFETY: the buffer has the words of its shape and is borrowed mutably; there is a constant for each limb.
        unsafe { self.on_words(Kernel::AddConstant, shape.ring, shape.basis, &arguments) }
    }

    pub(crate) fn restricted(&self, source: Operand<'_, D::Memory>, target: Shape) -> Result<D::Memory, CudaError> {
        let words = self.allocate(target)?;
        // SAFETY: the source has the words of its shape, the target is new and of the same ring.
        unsafe { self.copy_limbs(target.ring, target.basis, self.place_of(&words, target), self.place(source)) }?;
        Ok(words)
    }

    /// Copies the limbs of the primes `basis`, which both polynomials have.
    ///
    /// # Safety
    /// The places are those of live polynomials of this ring, and nobody else uses the target.
    pub(crate) unsafe fn copy_limbs(
        &self,
        ring: Ring,
        basis: Basis,
        target: Place,
        source: Place,
    ) -> Result<(), CudaError> {
        let arguments = vec![
            target.address,
            self.all_positions(basis, target.basis)?,
            source.address,
            self.all_positions(basis, source.basis)?,
            ring.log_degree.into(),
        ];
        // SAFETY: promised by the caller; the positions lie within the polynomials.
        unsafe { self.launch(&launch::words(Kernel::CopyLimbs, ring, basis.len(), arguments)) }
    }
}
