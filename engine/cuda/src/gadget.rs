//! Digits times keys: the gadget product, and sums of rotated ciphertexts.

use fhe_ring::{GadgetInput, GaloisElement, HoistedInput, HoistedSum, KeyedAutomorphism, Operand, Pair, Shape};

use crate::{Cuda, CudaError, Device, Kernel, launch, permutation::ValuePermutation};

/// The two words of an absent `Operand`.
const NONE: [u64; 2] = [0, 0];

impl<D: Device> Cuda<D> {
    pub(crate) fn gadget_products(
        &self,
        shape: Shape,
        inputs: &[GadgetInput<'_, D::Memory>],
        rows: &[Pair<'_, D::Memory>],
    ) -> Result<Vec<[D::Memory; 2]>, CudaError> {
        let same_length = inputs.iter().all(|input| input.digits.len() == rows.len());
        assert!(same_length, "gadget_product: a row is required for each digit");
        let mut table = Table::default();
        let products: Vec<[D::Memory; 2]> = (inputs.iter())
            .map(|_| Ok([self.allocate(shape)?, self.allocate(shape)?]))
            .collect::<Result<_, CudaError>>()?;
        let product_table = table.begin();
        for (halves, input) in products.iter().zip(inputs) {
            table.extend(halves.each_ref().map(|half| self.place_of(half, shape).address));
            for addend in input.addends {
                table.extend(addend.map_or(Ok(NONE), |addend| self.operand_in(addend, shape))?);
            }
            let is_unextended = |addend: Operand<'_, D::Memory>| addend.shape.basis.special_count() == 0;
            table.extend(input.addends.map(|addend| addend.is_some_and(is_unextended).into()));
        }
        let digits = table.begin();
        for &digit in inputs.iter().flat_map(|input| &input.digits) {
            table.extend([self.place_of(digit.buffer, shape).address]);
        }
        let keys = table.begin();
        self.push_rows(&mut table, rows, shape)?;

        let special_products = self.tables.special_products(&self.device, &self.chain, shape.basis)?.words;
        let table = self.device.upload(&table.words)?;
        let [product_table, digits, keys] =
            [product_table, digits, keys].map(|start| self.device.address(&table) + start);
        let arguments = vec![
            product_table,
            digits,
            keys,
            special_products,
            shape.ring.log_degree.into(),
            inputs.len() as u64,
            rows.len() as u64,
            self.primes(shape.basis)?,
            self.moduli(),
        ];
        let launch = launch::words(Kernel::GadgetProduct, shape.ring, shape.basis.len(), arguments);
        // SAFETY: the table has the entries of all inputs and rows; every address in it is null for an absent addend or that
        // of a live polynomial of this ring, with the positions of the limbs that it has; the products are new.
        unsafe { self.launch(&launch) }?;
        Ok(products)
    }

    pub(crate) fn hoisted(
        &self,
        shape: Shape,
        inputs: &[HoistedInput<'_, D::Memory>],
        automorphisms: &[KeyedAutomorphism<'_, D::Memory>],
        sums: &[HoistedSum<'_, D::Memory>],
    ) -> Result<Vec<Vec<[D::Memory; 2]>>, CudaError> {
        let terms = inputs.iter().map(|input| input.digits.len()).max().unwrap_or(0);
        assert!(inputs.iter().all(|input| input.digits.len() == terms), "hoisted_sums: inputs of different digits");
        let uses = Use::of(sums, automorphisms.len());
        let results: Vec<Vec<[D::Memory; 2]>> = (inputs.iter())
            .map(|_| sums.iter().map(|_| Ok([self.allocate(shape)?, self.allocate(shape)?])).collect())
            .collect::<Result<_, CudaError>>()?;

        let mut table = Table::default();
        let automorphism_table = table.begin();
        for usage in &uses {
            let KeyedAutomorphism { element, rows } = &automorphisms[usage.automorphism];
            assert!([0, terms].contains(&rows.len()), "hoisted_sums: a row is required for each digit");
            let ValuePermutation { multiplier, offset } = ValuePermutation::new(shape.ring, *element);
            table.extend([multiplier, offset, rows.len() as u64, (*element == GaloisElement::IDENTITY).into()]);
        }
        let rows = table.begin();
        for usage in &uses {
            let rows = &automorphisms[usage.automorphism].rows;
            self.push_rows(&mut table, rows, shape)?;
            (rows.len()..terms).for_each(|_| table.extend([NONE; 2].concat()));
        }
        for factor in uses.iter().flat_map(|usage| &usage.factors) {
            table.extend(factor.map_or(Ok(NONE), |factor| self.operand_with(factor, shape))?);
        }
        for &half in inputs.iter().flat_map(|input| &input.ciphertext) {
            table.extend(self.operand_in(half, shape)?);
        }
        let digits = table.begin();
        for &digit in inputs.iter().flat_map(|input| &input.digits) {
            table.extend([self.place_of(digit.buffer, shape).address]);
        }
        let targets = table.begin();
        for half in results.iter().flatten().flatten() {
            table.extend([self.place_of(half, shape).address]);
        }

        let special_products = self.tables.special_products(&self.device, &self.chain, shape.basis)?.words;
        let operands = (digits - rows) / size_of::<[u64; 2]>() as u64;
        let table = self.device.upload(&table.words)?;
        let [automorphism_table, rows, digits, targets] =
            [automorphism_table, rows, digits, targets].map(|start| self.device.address(&table) + start);
        let found = self.device.allocate(operands as usize * shape.basis.len())?;
        let addresses = self.device.address(&found);
        let find = launch::find_limbs(
            operands as usize,
            shape.basis.len(),
            vec![addresses, rows, operands, shape.ring.log_degree.into()],
        );
        let mut arguments = vec![automorphism_table, addresses, operands, digits, targets, special_products];
        arguments.extend([uses.len(), inputs.len(), terms, sums.len()].map(|count| count as u64));
        arguments.extend([shape.ring.log_degree.into(), self.primes(shape.basis)?, self.moduli()]);
        let launch = launch::hoisted_sums(shape.ring, shape.basis.len(), inputs.len(), sums.len(), arguments);
        // SAFETY: the table has the entries of all uses, inputs and sums; every address in it is null for an absent factor
        // or that of a live polynomial of this ring, with the positions of the limbs that it has. There is room for the
        // address of each operand's limbs, and the results are new.
        unsafe {
            self.launch(&find)?;
            self.launch(&launch)?;
        }
        Ok(results)
    }

    /// Appends the operands of a key's rows.
    fn push_rows(&self, table: &mut Table, rows: &[Pair<'_, D::Memory>], shape: Shape) -> Result<(), CudaError> {
        for &half in rows.as_flattened() {
            table.extend(self.operand_with(half, shape)?);
        }
        Ok(())
    }

    /// An operand that has all primes of the result.
    fn operand_with(&self, operand: Operand<'_, D::Memory>, shape: Shape) -> Result<[u64; 2], CudaError> {
        assert!(operand.shape.basis.contains(shape.basis), "an operand lacks primes of the digits");
        self.operand_in(operand, shape)
    }

    /// An operand that lives in the ring of the result and may lack its special primes.
    fn operand_in(&self, operand: Operand<'_, D::Memory>, shape: Shape) -> Result<[u64; 2], CudaError> {
        assert_eq!(operand.shape.ring, shape.ring, "the operands of a kernel must live in one ring");
        self.operand(operand, shape.basis)
    }
}

/// Words to be uploaded, in parts.
#[derive(Default)]
struct Table {
    words: Vec<u64>,
}

impl Table {
    /// Where the next part begins, in bytes.
    fn begin(&self) -> u64 {
        size_of_val(self.words.as_slice()) as u64
    }

    fn extend(&mut self, words: impl IntoIterator<Item = u64>) {
        self.words.extend(words);
    }
}

/// An automorphism, with one factor for each sum at most: one that a sum uses twice has two uses.
struct Use<'a, T> {
    automorphism: usize,
    factors: Vec<Option<Operand<'a, T>>>,
}

impl<'a, T> Use<'a, T> {
    fn of(sums: &[HoistedSum<'a, T>], automorphisms: usize) -> Vec<Self> {
        let mut uses: Vec<Self> = Vec::new();
        for automorphism in 0..automorphisms {
            let first = uses.len();
            for (number, sum) in sums.iter().enumerate() {
                let factors = sum.iter().filter(|(used, _)| *used == automorphism).map(|&(_, factor)| factor);
                for (occurrence, factor) in factors.enumerate() {
                    if first + occurrence == uses.len() {
                        uses.push(Self { automorphism, factors: vec![None; sums.len()] });
                    }
                    uses[first + occurrence].factors[number] = Some(factor);
                }
            }
        }
        uses
    }
}
