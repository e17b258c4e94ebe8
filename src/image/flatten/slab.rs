//! Objects by number, in one vector: [`Slab`].

use super::tree::internal;
use crate::error::Error;

/// Objects by number. The number of one that was removed is given to another only after [`reuse`](Self::reuse).
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
    /// Removed since numbers were last made free.
    gone: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), gone: Vec::new() }
    }

    /// Adds an object and gives its number.
    pub(super) fn insert(&mut self, object: T) -> Result<u32, Error> {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.place(number)
        {
            *place = Some(object);
            return Ok(number);
        }
        let number = u32::try_from(self.places.len()).map_err(|_| internal("over four thousand million objects"))?;
        self.places.push(Some(object));
        Ok(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let object = self.place(number)?.take()?;
        self.gone.push(number);
        Some(object)
    }

    /// Lets the numbers of what was removed be given again.
    pub(super) fn reuse(&mut self) {
        self.free.append(&mut self.gone);
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        self.places.get_mut(usize::try_from(number).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_only_when_it_may_be() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert("a").unwrap(), slab.insert("b").unwrap());
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.remove(a), None);
        let c = slab.insert("c").unwrap();
        assert!(c != a && c != b);
        slab.reuse();
        assert_eq!(slab.insert("d").unwrap(), a);
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (Some(&"d"), Some(&"b"), Some(&"c")));
    }
}
