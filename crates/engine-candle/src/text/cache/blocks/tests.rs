use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn tokens(count: usize) -> Vec<u32> {
    (0..count).map(|token| u32::try_from(token).unwrap()).collect()
}

/// A table with the state of these tokens, computed by itself.
fn computed(pool: &BlockPool, tokens: &[u32]) -> BlockTable {
    let mut table = pool.table(0);
    assert!(table.reserve(tokens.len()));
    table.advance(tokens.len());
    table.name(tokens);
    table
}

#[test]
fn a_beginning_that_is_there_is_taken_over_but_for_the_last_token() {
    let pool = BlockPool::new(10);
    let first = computed(&pool, &tokens(40));
    let mut second = pool.table(0);
    assert_eq!(second.adopt(&tokens(32)), 16, "its last token has to be computed");
    let mut third = pool.table(0);
    assert_eq!(third.adopt(&tokens(33)), 32);
    assert_eq!(third.blocks(), &first.blocks()[..2]);
    assert_eq!(third.len(), 32);
    let mut other = tokens(40);
    other[17] = 99;
    assert_eq!(pool.table(0).adopt(&other), 16, "up to the first difference");
    other[0] = 99;
    assert_eq!(pool.table(0).adopt(&other), 0);
}

#[test]
fn the_same_tokens_after_other_ones_are_something_else() {
    let pool = BlockPool::new(10);
    let twice: Vec<u32> = tokens(16).into_iter().chain(tokens(16)).collect();
    let _first = computed(&pool, &twice);
    let mut shifted: Vec<u32> = vec![7; 16];
    shifted.extend(tokens(17));
    assert_eq!(pool.table(0).adopt(&shifted), 0);
}

#[test]
fn nothing_is_found_from_another_scope() {
    let pool = BlockPool::new(10);
    let _first = computed(&pool, &tokens(40));
    let mut other = pool.table(1);
    assert_eq!(other.adopt(&tokens(40)), 0);
    other.clear();
    assert_eq!(other.adopt(&tokens(40)), 0, "also when it begins anew");
    let mut adapted = pool.adapted_table(0, 1);
    assert_eq!(
        adapted.adopt(&tokens(40)),
        0,
        "keys with an adapter are other ones"
    );
}

#[test]
fn blocks_are_found_until_they_are_needed_and_the_least_recently_used_go_first() {
    let pool = BlockPool::new(4);
    let old: Vec<u32> = vec![1; 17];
    let new: Vec<u32> = vec![2; 17];
    drop(computed(&pool, &old));
    drop(computed(&pool, &new));
    assert_eq!(
        pool.counts(),
        BlockCounts {
            held: 0,
            idle: 2,
            free: 2
        }
    );
    drop({
        let mut table = pool.table(0);
        assert_eq!(table.adopt(&old), 16);
        table
    });
    let mut large = pool.table(0);
    assert!(large.reserve(3 * BLOCK));
    assert_eq!(pool.table(0).adopt(&new), 0, "evicted: the other was used later");
    assert_eq!(pool.table(0).adopt(&old), 16);
    assert!(large.reserve(4 * BLOCK));
    assert_eq!(pool.table(0).adopt(&old), 0);
    assert!(!large.reserve(5 * BLOCK), "there are four");
    assert_eq!(large.blocks().len(), 4, "all or nothing");
}

#[test]
fn the_end_of_a_sequence_is_evicted_before_its_beginning() {
    let pool = BlockPool::new(4);
    drop(computed(&pool, &tokens(64)));
    let mut other = pool.table(0);
    assert!(other.reserve(1));
    assert_eq!(pool.table(0).adopt(&tokens(65)), 48);
}

#[test]
fn content_that_two_sequences_computed_is_kept_once() {
    let pool = BlockPool::new(10);
    let mut tables: Vec<_> = (0..2).map(|_| pool.table(0)).collect();
    for table in &mut tables {
        assert!(table.reserve(20));
        table.advance(20);
    }
    for table in &mut tables {
        table.name(&tokens(20));
    }
    assert_eq!(tables[0].blocks()[0], tables[1].blocks()[0]);
    assert_ne!(tables[0].blocks()[1], tables[1].blocks()[1]);
    assert_eq!(pool.counts().held, 3);
}

#[test]
fn nothing_is_taken_over_in_the_middle_of_a_block() {
    let pool = BlockPool::new(10);
    let _there = computed(&pool, &tokens(64));
    let mut table = computed(&pool, &tokens(20));
    assert_eq!(table.adopt(&tokens(64)), 0);
    let mut reserved = pool.table(0);
    assert!(reserved.reserve(1));
    assert_eq!(reserved.adopt(&tokens(64)), 0, "it has a block to write into");
}

#[test]
fn positions_that_are_forgotten_give_their_blocks_back_and_are_found_by_nobody() {
    let pool = BlockPool::new(10);
    let mut table = computed(&pool, &tokens(20));
    assert!(table.reserve(30));
    table.advance(30);
    table.truncate(21);
    assert_eq!(
        (table.len(), table.blocks().len(), pool.counts().held),
        (21, 2, 2)
    );
    let mut other = tokens(21);
    other.extend([99; 12]);
    assert!(table.reserve(12));
    table.advance(12);
    table.name(&other);
    assert_eq!(pool.table(0).adopt(&tokens(50)), 16, "not what was forgotten");
    assert_eq!(pool.table(0).adopt(&[other, vec![0]].concat()), 32);
    table.truncate(32);
    assert_eq!(table.blocks().len(), 2);
}

/// What a test does with one of its tables.
#[derive(Debug, Clone)]
enum Action {
    /// Continue with these tokens, taking over what is there.
    Extend(usize, Vec<u32>),
    /// Compute so many positions more and forget them.
    Draft(usize, usize),
    Clear(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    // Few different tokens in long runs, so that sequences begin alike.
    let runs = prop::collection::vec((0_u32..3, 1_usize..40), 1..4).prop_map(|runs| {
        let runs = runs.into_iter().flat_map(|(token, count)| vec![token; count]);
        runs.collect()
    });
    let action = prop_oneof![
        3 => (0_usize..4, runs).prop_map(|(table, tokens)| Action::Extend(table, tokens)),
        2 => (0_usize..4, 1_usize..40).prop_map(|(table, count)| Action::Draft(table, count)),
        1 => (0_usize..4).prop_map(Action::Clear),
    ];
    prop::collection::vec(action, 1..60)
}

/// Sequences and the memory they think they have written.
struct World {
    pool: BlockPool,
    tables: Vec<(BlockTable, Vec<u32>)>,
    /// What stands at each position of each block: all tokens of the sequence up to there.
    memory: HashMap<(BlockId, usize), Vec<u32>>,
}

impl World {
    fn new(capacity: usize) -> Self {
        let pool = BlockPool::new(capacity);
        let tables = (0..4).map(|_| (pool.table(0), Vec::new())).collect();
        Self {
            pool,
            tables,
            memory: HashMap::new(),
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Clear(index) => {
                let (table, tokens) = &mut self.tables[index];
                table.clear();
                tokens.clear();
            }
            Action::Draft(index, count) => {
                let (table, tokens) = &mut self.tables[index];
                if !table.reserve(count) {
                    return;
                }
                for position in table.len()..table.len() + count {
                    let place = (table.blocks()[position / BLOCK], position % BLOCK);
                    self.memory.insert(place, vec![u32::MAX]);
                }
                table.advance(count);
                table.truncate(tokens.len());
            }
            Action::Extend(index, more) => {
                let (table, tokens) = &mut self.tables[index];
                tokens.extend(more);
                table.adopt(tokens);
                let left = tokens.len() - table.len();
                if !table.reserve(left) {
                    tokens.truncate(table.len());
                    return;
                }
                for position in table.len()..tokens.len() {
                    let place = (table.blocks()[position / BLOCK], position % BLOCK);
                    self.memory.insert(place, tokens[..=position].to_vec());
                }
                table.advance(left);
                table.name(tokens);
            }
        }
    }

    /// Every sequence finds its own state, and nothing but that, where its table leads.
    fn check(&self, capacity: usize) -> Result<(), TestCaseError> {
        let mut held = HashSet::<BlockId>::new();
        for (table, tokens) in &self.tables {
            prop_assert_eq!(table.len(), tokens.len());
            prop_assert!(table.room() >= table.len());
            for position in 0..tokens.len() {
                let place = (table.blocks()[position / BLOCK], position % BLOCK);
                prop_assert_eq!(&self.memory[&place], &tokens[..=position]);
            }
            held.extend(table.blocks());
        }
        let counts = self.pool.counts();
        prop_assert_eq!(counts.held, held.len());
        prop_assert_eq!(counts.held + counts.idle + counts.free, capacity);
        Ok(())
    }
}

proptest! {
    #[test]
    fn sequences_never_see_each_others_state_and_no_block_is_lost(
        actions in actions(),
        capacity in 1_usize..24,
    ) {
        let mut world = World::new(capacity);
        for action in actions {
            world.apply(action);
            world.check(capacity)?;
        }
        world.tables.clear();
        prop_assert_eq!(world.pool.available(), capacity, "all can be had again");
    }
}
