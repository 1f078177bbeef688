use super::*;

fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |index: usize| u8::try_from((index * 7919 + seed * 104_729) % 201).unwrap();
    (0..count)
        .map(|index| f32::from(value(index)) / 100.0 - 1.0)
        .collect()
}

const INPUTS: usize = 70;
const OUTPUTS: usize = 5 + 37 + 16 + 2;

/// Two projections of a site, with outputs before, between and behind them that neither has.
fn projections() -> [Matrices; 2] {
    let matrices = |first, outputs, rank, scale| Matrices {
        first,
        outputs,
        rank,
        scale,
        a: values(rank * INPUTS, rank),
        b: values(outputs * rank, rank + 10),
    };
    [matrices(5, 36, 3, 2.0), matrices(42, 16, 6, 0.25)]
}

/// What a row becomes, in f64.
fn expected(input: &[f32], before: &[f32]) -> Vec<f64> {
    let mut output: Vec<f64> = before.iter().copied().map(f64::from).collect();
    for matrices in projections() {
        let factors: Vec<f64> = matrices
            .a
            .chunks(INPUTS)
            .map(|row| {
                row.iter()
                    .zip(input)
                    .map(|(left, right)| f64::from(left * right))
                    .sum()
            })
            .collect();
        for (index, row) in matrices.b.chunks(matrices.rank).enumerate() {
            let sum: f64 = row
                .iter()
                .zip(&factors)
                .map(|(up, factor)| f64::from(*up) * factor)
                .sum();
            output[matrices.first + index] += matrices.scale * sum;
        }
    }
    output
}

/// A delta with its arena.
fn made(format: AdapterFormat, projections: &[Matrices]) -> Result<(Delta, Arena), TooLarge> {
    let groups = projections
        .iter()
        .map(|matrices| Delta::groups(format, matrices.rank, INPUTS, matrices.outputs));
    let groups = groups.sum();
    let mut arena = Arena::new(format, groups).unwrap();
    let delta = Delta::new(&mut arena, INPUTS, projections)?;
    assert_eq!(arena.used(), groups);
    Ok((delta, arena))
}

fn product((delta, arena): &(Delta, Arena)) -> Product<'_> {
    Product { delta, arena }
}

fn added(delta: Product<'_>, inputs: &[Vec<f32>], before: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut outputs = before.to_vec();
    let mut factors = vec![0.0; inputs.len() * delta.rank()];
    let mut rows: Vec<_> = inputs
        .iter()
        .zip(&mut outputs)
        .zip(factors.chunks_mut(delta.rank()))
        .map(|((input, output), factors)| Row {
            input,
            output,
            factors,
        })
        .collect();
    delta.add(&mut rows);
    outputs
}

#[test]
fn a_row_gets_its_products_and_the_same_alone_as_with_others() {
    for (format, error) in [
        (AdapterFormat::Single, 1e-4),
        (AdapterFormat::Half, 3e-2),
        (AdapterFormat::Byte, 0.5),
    ] {
        let made = made(format, &projections()).unwrap();
        let delta = product(&made);
        assert_eq!((delta.rank(), delta.work()), (9, 9 * INPUTS + 3 * 36 + 6 * 16));
        let inputs: Vec<_> = (0..5).map(|row| values(INPUTS, 30 + row)).collect();
        let before: Vec<_> = (0..5).map(|row| values(OUTPUTS, 40 + row)).collect();
        let together = added(delta, &inputs, &before);
        for row in 0..5 {
            let alone = added(delta, &inputs[row..=row], &before[row..=row]);
            assert_eq!(alone[0], together[row]);
            for (index, expected) in expected(&inputs[row], &before[row]).into_iter().enumerate() {
                let got = f64::from(together[row][index]);
                assert!(
                    (got - expected).abs() < error,
                    "{format:?}, {index}: {got}, {expected}"
                );
            }
        }
    }
}

/// Computed in parts by several threads it is the same.
#[test]
fn pieces_make_the_whole() {
    let made = made(AdapterFormat::Byte, &projections()).unwrap();
    let delta = product(&made);
    let (input, before) = (values(INPUTS, 30), values(OUTPUTS, 40));
    let whole = added(delta, std::slice::from_ref(&input), std::slice::from_ref(&before));
    for (ranks, outputs) in [(1, 1), (2, 17), (4, 32), (9, 1000)] {
        let (mut output, mut factors) = (before.clone(), vec![0.0; delta.rank()]);
        for (index, factors) in factors.chunks_mut(ranks).enumerate() {
            delta.factors(index * ranks, &input, factors);
        }
        let row = Row {
            input: &input,
            output: &mut output,
            factors: &mut factors,
        };
        for mut piece in delta.pieces(row, outputs) {
            piece.add();
        }
        assert_eq!(output, whole[0], "{ranks}, {outputs}");
    }
}

#[test]
fn files_in_sixteen_bits_are_computed_as_they_are() {
    let rounded = || {
        projections().map(|mut matrices| {
            for value in matrices.a.iter_mut().chain(&mut matrices.b) {
                *value = half::bf16::from_f32(*value).to_f32();
            }
            matrices
        })
    };
    let single = made(AdapterFormat::Single, &rounded()).unwrap();
    let half = made(AdapterFormat::Half, &rounded()).unwrap();
    let (input, before) = ([values(INPUTS, 30)], [values(OUTPUTS, 40)]);
    // Powers of two change no bit.
    let single = added(product(&single), &input, &before);
    assert_eq!(single, added(product(&half), &input, &before));
}

#[test]
fn products_beyond_f32_are_refused() {
    for (scale, size) in [(1e300, 1.0), (1e39, 0.0), (1e30, 1e10), (-1e30, 1e10)] {
        let mut projections = projections();
        projections[1].scale = scale;
        projections[1].a.iter_mut().for_each(|value| *value *= size);
        for format in [AdapterFormat::Single, AdapterFormat::Half, AdapterFormat::Byte] {
            assert_eq!(
                made(format, &projections).err(),
                Some(TooLarge(1)),
                "{scale}, {size}"
            );
        }
    }
}

#[test]
fn memory_is_that_of_the_numbers() {
    let bytes = |format: AdapterFormat, rank, inputs, outputs| {
        format.bytes(Delta::groups(format, rank, inputs, outputs))
    };
    assert_eq!(bytes(AdapterFormat::Single, 1, 16, 16), 128);
    assert_eq!(bytes(AdapterFormat::Half, 2, 17, 33), 2 * (32 + 48) * 2);
    // Two bytes for each output.
    assert_eq!(bytes(AdapterFormat::Byte, 2, 17, 33), 2 * (32 + 48) + 2 * 48);
}
