//! Medians, and how far they can be trusted: order statistics, nothing assumed about the distribution.

/// The least confidence of an interval.
const CONFIDENCE: f64 = 0.95;

/// The median of some numbers, with the interval that holds the true median in 95 % of the cases or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    pub value: f64,
    /// None where the numbers are too few to say.
    pub interval: Option<(f64, f64)>,
}

impl Median {
    /// None for no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let numbers = sorted(numbers);
        let (low, high) = (*numbers.get(numbers.len().checked_sub(1)? / 2)?, *numbers.get(numbers.len() / 2)?);
        let interval = rank(numbers.len()).map(|rank| (numbers[rank - 1], numbers[numbers.len() - rank]));
        Some(Self { value: f64::midpoint(low, high), interval })
    }
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The rank, from 1, whose order statistic and its mirror hold the median: the greatest k with 2 P(B < k) ≤ 0.05 for B binomial in
/// `count` throws of a fair coin. None below six numbers.
fn rank(count: usize) -> Option<usize> {
    let mut below = 0.0;
    let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
    for k in 0..count {
        below += exactly;
        if 2.0 * below > 1.0 - CONFIDENCE {
            return (k > 0).then_some(k);
        }
        exactly *= (count - k) as f64 / (k + 1) as f64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_tables() {
        // E.g. the tables of the sign test, two-sided, 5 %.
        let ranks = [5, 6, 8, 9, 11, 12, 15, 20, 21].map(rank);
        assert_eq!(ranks, [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(4), Some(6), Some(6)]);
    }

    #[test]
    fn medians_of_odd_even_and_no_numbers() {
        assert_eq!(Median::of([3.0, 1.0, 2.0]), Some(Median { value: 2.0, interval: None }));
        assert_eq!(Median::of([4.0, 1.0, 2.0, 3.0]), Some(Median { value: 2.5, interval: None }));
        assert_eq!(Median::of([]), None);
        assert_eq!(Median::of((1..=11).map(f64::from)), Some(Median { value: 6.0, interval: Some((2.0, 10.0)) }));
    }
}
