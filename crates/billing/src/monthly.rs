//! Something of the current calendar month and of the one before, which is all that levels look at.

/// A value of a month and of the month before it; all others are the default, which is the least.
///
/// A month is the number `yyyymm` in the configured zone ([`crate::BillingDay::month`]). Values only
/// ever grow, so of two readings of one account the later is found by [`Monthly::later`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Monthly<T> {
    month: i32,
    value: T,
    before: T,
}

impl<T: Copy + Default + Ord> Monthly<T> {
    /// Puts together what was stored: the value of `month` and of the month before it.
    pub const fn new(month: i32, value: T, before: T) -> Self {
        Self { month, value, before }
    }

    /// The last month that has a value; zero when none has.
    pub const fn month(&self) -> i32 {
        self.month
    }

    /// The values of a month and of the month before it, as far as they are known.
    pub fn both(&self, month: i32) -> (T, T) {
        (self.at(month), self.at(Self::month_before(month)))
    }

    /// The better of a month's value and that of the month before. A month that is earlier than the
    /// last one with a value comes from a clock that is behind: it is answered as that last one, so
    /// nobody loses by it.
    pub fn best(&self, month: i32) -> T {
        let (this, before) = self.both(month.max(self.month));
        this.max(before)
    }

    /// The place of a month's value. Moves on to the month when it is later than the last one;
    /// `None` when it is so early that its value counts for nothing any more.
    pub fn of(&mut self, month: i32) -> Option<&mut T> {
        if month > self.month {
            let (value, before) = self.both(month);
            *self = Self { month, value, before };
        }
        if month == self.month {
            Some(&mut self.value)
        } else if month == Self::month_before(self.month) {
            Some(&mut self.before)
        } else {
            None
        }
    }

    /// Of two readings of the same thing, takes what the later one knows.
    #[must_use]
    pub fn later(mut self, other: Self) -> Self {
        let (this, before) = other.both(other.month);
        for (month, value) in [(other.month, this), (Self::month_before(other.month), before)] {
            if let Some(known) = self.of(month) {
                *known = value.max(*known);
            }
        }
        self
    }

    /// The month after one.
    pub const fn month_after(month: i32) -> i32 {
        if month % 100 == 12 { month + 89 } else { month + 1 }
    }

    /// The month before one.
    pub const fn month_before(month: i32) -> i32 {
        if month % 100 == 1 { month - 89 } else { month - 1 }
    }

    fn at(&self, month: i32) -> T {
        if month == self.month {
            self.value
        } else if month == Self::month_before(self.month) {
            self.before
        } else {
            T::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn months_follow_each_other_over_the_end_of_a_year() {
        assert_eq!(Monthly::<i64>::month_after(202_512), 202_601);
        assert_eq!(Monthly::<i64>::month_before(202_601), 202_512);
        assert_eq!(Monthly::<i64>::month_after(202_501), 202_502);
    }

    #[test]
    fn late_values_of_the_month_before_still_count_and_older_ones_do_not() {
        let mut values = Monthly::<i64>::default();
        *values.of(202_601).unwrap() = 5;
        *values.of(202_512).unwrap() = 7;
        assert_eq!(values.of(202_511), None);
        assert_eq!(values, Monthly::new(202_601, 5, 7));
        *values.of(202_603).unwrap() = 1;
        assert_eq!(values, Monthly::new(202_603, 1, 0));
    }

    #[test]
    fn a_clock_that_is_behind_takes_nothing() {
        let values = Monthly::new(202_601, 3, 9);
        assert_eq!(values.best(202_501), 9);
        assert_eq!(values.best(202_602), 3);
    }

    proptest! {
        #[test]
        fn of_two_readings_the_later_is_taken_in_either_order(
            steps in proptest::collection::vec((0_i32..4, 0_i64..9), 1..20),
            cut in 0_usize..20,
        ) {
            let mut values = Monthly::<i64>::default();
            let (mut month, mut readings) = (202_511, vec![values]);
            for (skipped, amount) in steps {
                for _ in 0..skipped {
                    month = Monthly::<i64>::month_after(month);
                }
                *values.of(month).unwrap() += amount;
                readings.push(values);
            }
            let earlier = readings[cut % readings.len()];
            prop_assert_eq!(earlier.later(values), values);
            prop_assert_eq!(values.later(earlier), values);
        }
    }
}
