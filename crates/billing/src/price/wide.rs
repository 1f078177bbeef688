//! Whole numbers of 384 bits: what the longest price times the largest count needs.

use std::cmp::Ordering;

const LIMBS: usize = 6;

/// A number in base 2^64, the lowest limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide([u64; LIMBS]);

impl From<u128> for Wide {
    fn from(number: u128) -> Self {
        let mut limbs = [0; LIMBS];
        (limbs[0], limbs[1]) = (low(number), low(number >> 64));
        Self(limbs)
    }
}

impl Wide {
    pub(super) const ZERO: Self = Self([0; LIMBS]);

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let mut sum = Self::ZERO;
        let mut carry = 0_u128;
        for index in 0..LIMBS {
            carry += u128::from(self.0[index]) + u128::from(other.0[index]);
            sum.0[index] = low(carry);
            carry >>= 64;
        }
        (carry == 0).then_some(sum)
    }

    pub(super) fn times(self, factor: u64) -> Option<Self> {
        let mut product = Self::ZERO;
        let mut carry = 0_u128;
        for index in 0..LIMBS {
            carry += u128::from(self.0[index]) * u128::from(factor);
            product.0[index] = low(carry);
            carry >>= 64;
        }
        (carry == 0).then_some(product)
    }

    pub(super) fn times_power_of_ten(self, exponent: u32) -> Option<Self> {
        (0..exponent).try_fold(self, |number, _| number.times(10))
    }

    /// Divides and rounds half to even; `None` when the quotient is above `i64::MAX`.
    pub(super) fn divided_half_even(self, divisor: Self) -> Option<i64> {
        let (mut quotient, mut rest) = (0_i64, self);
        // One bit of the quotient after the other, the highest first. A shifted divisor that is
        // too long for a number is larger than any rest.
        for bit in (0..63).rev() {
            if let Some(left) = divisor.times(1 << bit).and_then(|shifted| rest.minus(shifted)) {
                rest = left;
                quotient |= 1 << bit;
            }
        }
        if rest.minus(divisor).is_some() {
            return None;
        }
        let is_up = match rest.plus(rest)?.compare(divisor) {
            Ordering::Less => false,
            Ordering::Equal => quotient % 2 == 1,
            Ordering::Greater => true,
        };
        quotient.checked_add(i64::from(is_up))
    }

    fn minus(self, other: Self) -> Option<Self> {
        let mut difference = Self::ZERO;
        let mut borrow = false;
        for index in 0..LIMBS {
            let (limb, first) = self.0[index].overflowing_sub(other.0[index]);
            let (limb, second) = limb.overflowing_sub(u64::from(borrow));
            difference.0[index] = limb;
            borrow = first || second;
        }
        (!borrow).then_some(difference)
    }

    fn compare(self, other: Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

/// The lowest 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper bits are taken apart by the caller"
)]
const fn low(number: u128) -> u64 {
    number as u64
}
