//! Small numbers for distinct values, at most 256 of them.
//!
//! Invariant: a number means the same value for ever; an unassigned number means none.

/// Maximum number of values.
const VALUES_MAX: usize = 1 << 8;

/// A list of distinct values; the index of a value is its number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<T>(Vec<T>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Numbered<T> {
    /// Returns the number of a value, a new one if it has none; `None` when all numbers are taken.
    pub(crate) fn number(&mut self, value: T) -> Option<u8> {
        let at = self.0.iter().position(|known| *known == value).unwrap_or(self.0.len());
        if at == self.0.len() && at < VALUES_MAX {
            self.0.push(value);
        }
        u8::try_from(at).ok()
    }

    /// The value of this number; `None` when the number is unassigned.
    #[inline]
    pub(crate) fn get(&self, number: u8) -> Option<&T> {
        self.0.get(usize::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_one_value_and_what_was_not_given_out_means_none() {
        let mut numbered = Numbered::default();
        assert_eq!(numbered.get(0), None);
        for value in 0..256 {
            assert_eq!(numbered.number(value), u8::try_from(value).ok());
        }
        assert_eq!((numbered.number(7), numbered.number(256)), (Some(7), None));
        assert_eq!((numbered.get(7), numbered.get(255)), (Some(&7), Some(&255)));
        assert_eq!(numbered.number(255), Some(255), "also when the list is full");
    }
}
