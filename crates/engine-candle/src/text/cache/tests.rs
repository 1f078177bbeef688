use super::*;

fn rows(first: usize, count: usize) -> Tensor {
    let values: Vec<f32> = (first..first + count)
        .flat_map(|row| [f32::from(u16::try_from(row).unwrap()), 0.5])
        .collect();
    Tensor::from_vec(values, (count, 1, 2), &Device::Cpu).unwrap()
}

fn appended(cache: &mut KvCache, count: usize) -> Vec<f32> {
    let first = cache.len();
    let (keys, values) = cache
        .append(0, &rows(first, count), &rows(first + 1000, count))
        .unwrap();
    cache.advance(count);
    assert_eq!(keys.dims(), values.dims());
    keys.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn positions_survive_growth() {
    let mut cache = KvCache::new(1, 1000);
    for count in [3, 61, 1, 200, 1, 1] {
        let keys = appended(&mut cache, count);
        let expected = rows(0, cache.len())
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(keys, expected, "after {} positions", cache.len());
    }
}

#[test]
fn growth_copies_rarely() {
    let mut cache = KvCache::new(1, 10_000);
    let mut growths = 0;
    let mut capacity = 0;
    for _ in 0..2000 {
        appended(&mut cache, 1);
        if cache.layers[0].capacity != capacity {
            capacity = cache.layers[0].capacity;
            growths += 1;
        }
    }
    assert_eq!((growths, capacity), (6, 2048));
}

#[test]
fn the_limit_bounds_memory_and_is_an_error() {
    let mut cache = KvCache::new(1, 100);
    appended(&mut cache, 100);
    assert_eq!(cache.layers[0].capacity, 100);
    assert!(cache.append(0, &rows(0, 1), &rows(0, 1)).is_err());
}
