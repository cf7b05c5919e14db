//! Open flows in the order of their last packets.

/// A place that holds nothing.
const NONE: u32 = u32::MAX;

/// Values in slots, each in one of `N` queues.
#[derive(Debug)]
pub(super) struct Queues<T, const N: usize> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    ends: [(u32, u32); N],
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    queue: usize,
    before: u32,
    after: u32,
}

impl<T, const N: usize> Default for Queues<T, N> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ends: [(NONE, NONE); N] }
    }
}

impl<T, const N: usize> Queues<T, N> {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.value.as_mut()
    }

    /// The slot and the value that stand first in a queue.
    pub(super) fn first(&self, queue: usize) -> Option<(u32, &T)> {
        let slot = self.ends[queue].0;
        self.get(slot).map(|value| (slot, value))
    }

    /// Puts a value at the end of a queue and returns its slot.
    pub(super) fn push(&mut self, queue: usize, value: T) -> u32 {
        let new = Slot { value: Some(value), queue, before: NONE, after: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = new;
                slot
            }
            None => {
                self.slots.push(new);
                u32::try_from(self.slots.len() - 1).expect("fewer flows than 2^32")
            }
        };
        self.link(slot, queue);
        slot
    }

    /// Moves a value to the end of a queue.
    pub(super) fn move_to_end(&mut self, slot: u32, queue: usize) {
        self.unlink(slot);
        self.link(slot, queue);
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.value.take()?;
        self.unlink(slot);
        self.free.push(slot);
        Some(value)
    }

    fn link(&mut self, slot: u32, queue: usize) {
        let last = self.ends[queue].1;
        self.slots[slot as usize].queue = queue;
        self.slots[slot as usize].before = last;
        self.slots[slot as usize].after = NONE;
        match self.slots.get_mut(last as usize) {
            Some(last) => last.after = slot,
            None => self.ends[queue].0 = slot,
        }
        self.ends[queue].1 = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { queue, before, after, .. } = self.slots[slot as usize];
        match self.slots.get_mut(before as usize) {
            Some(neighbour) => neighbour.after = after,
            None => self.ends[queue].0 = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(neighbour) => neighbour.before = before,
            None => self.ends[queue].1 = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drained(queues: &mut Queues<u32, 2>, queue: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while let Some((slot, _)) = queues.first(queue) {
            values.extend(queues.remove(slot));
        }
        values
    }

    proptest! {
        /// The same as lists that are searched.
        #[test]
        fn values_stand_in_the_order_of_their_last_move(
            steps in prop::collection::vec((0usize..3, 0usize..2, 0usize..8), 0..200),
        ) {
            let mut queues = Queues::<u32, 2>::default();
            let mut lists: [Vec<(u32, u32)>; 2] = Default::default();
            for (number, &(action, queue, pick)) in steps.iter().enumerate() {
                let all: Vec<_> = lists.concat();
                let picked = all.get(pick).copied();
                match (action, picked) {
                    (0, _) | (_, None) => {
                        let value = number as u32;
                        lists[queue].push((queues.push(queue, value), value));
                    }
                    (1, Some((slot, value))) => {
                        lists.iter_mut().for_each(|list| list.retain(|&(at, _)| at != slot));
                        lists[queue].push((slot, value));
                        queues.move_to_end(slot, queue);
                    }
                    (_, Some((slot, value))) => {
                        lists.iter_mut().for_each(|list| list.retain(|&(at, _)| at != slot));
                        prop_assert_eq!(queues.remove(slot), Some(value));
                        prop_assert_eq!(queues.remove(slot), None);
                    }
                }
                prop_assert_eq!(queues.len(), lists[0].len() + lists[1].len());
            }
            for (queue, list) in lists.iter().enumerate() {
                let expected: Vec<_> = list.iter().map(|&(_, value)| value).collect();
                prop_assert_eq!(drained(&mut queues, queue), expected);
            }
        }
    }
}
