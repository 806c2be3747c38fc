//! Measurements taken in turn, so other load on the machine affects all of them alike.

use std::hint::black_box;
use std::time::Duration;

use chatchonk::clock::Clock;

/// The number of measurements of each.
const ROUNDS: usize = 9;

/// Returns the time of one call, averaged over `calls`.
pub fn time_of<T>(calls: u32, mut call: impl FnMut() -> T) -> Duration {
    let clock = Clock::system();
    let start = clock.now();
    for _ in 0..calls {
        black_box(call());
    }
    (clock.now() - start) / calls
}

/// Returns the medians of measurements taken in turn.
pub fn medians<const N: usize>(mut measurements: [&mut dyn FnMut() -> Duration; N]) -> [Duration; N] {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| measurements.each_mut().map(|measure| measure())).collect();
    std::array::from_fn(|nth| {
        let mut times: Vec<_> = rounds.iter().map(|round| round[nth]).collect();
        times.sort_unstable();
        times[ROUNDS / 2]
    })
}
