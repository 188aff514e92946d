//! Where the prompts of a block start.

use std::ops::Range;

/// First position of each prompt; the lengths fit into `free`, the positions of a block of `t` behind its prefix.
pub(super) fn place(lengths: &[usize], free: Range<usize>, t: usize) -> Vec<usize> {
    let middle = (t / 2).clamp(free.start, free.end);
    let mut next = [free.start, middle];
    match split_into_halves(lengths, [middle - free.start, free.end - middle]) {
        Some(first) => {
            let starts = lengths.iter().zip(first).map(|(length, first)| {
                let side = &mut next[usize::from(!first)];
                std::mem::replace(side, *side + length)
            });
            starts.collect()
        }
        // One prompt has to straddle the middle; end to end, only one does.
        None => lengths.iter().scan(free.start, |next, length| Some(std::mem::replace(next, *next + length))).collect(),
    }
}

/// For each prompt whether it goes into the first half, such that neither half overflows; `None` if no assignment does.
///
/// A subset-sum table: `reached[s]` remembers the last prompt of some subset, of prompts in increasing order, that fills
/// `s` positions of the first half.
fn split_into_halves(lengths: &[usize], [first_room, second_room]: [usize; 2]) -> Option<Vec<bool>> {
    let mut reached: Vec<Option<usize>> = vec![None; first_room + 1];
    for (prompt, &length) in lengths.iter().enumerate() {
        for filled in (length..=first_room).rev() {
            if reached[filled].is_none() && (filled == length || reached[filled - length].is_some()) {
                reached[filled] = Some(prompt);
            }
        }
    }
    let total: usize = lengths.iter().sum();
    let fits = |filled: usize| total - filled <= second_room && (filled == 0 || reached[filled].is_some());
    // The fullest first half that leaves no more than fits into the second.
    let mut filled = (0..=first_room.min(total)).rev().find(|&filled| fits(filled))?;
    let mut first = vec![false; lengths.len()];
    while filled > 0 {
        let prompt = reached[filled].expect("every sum on the way was reached");
        first[prompt] = true;
        filled -= lengths[prompt];
    }
    Some(first)
}
