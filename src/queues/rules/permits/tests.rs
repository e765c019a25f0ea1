//! The promises of the permits, with random slots, durations and limits: no free permit is left unused, the counts are right,
//! and a hook waits for its first permit on a host only while there are many young ones.

use std::time::Duration;

use proptest::prelude::*;

use super::firsts::YOUNG;
use super::{Claim, Permits, Refusal, SlotName};
use crate::model::{AccountId, Family, Hook, HookId, Moment, Trigger};

const SLOTS: usize = 8;
/// Attempts that a slot starts in one turn.
const IN_A_ROW: u32 = 4;
/// Permits that one slot may hold.
const OWN: u32 = 5;
/// How long attempts take.
const QUICK: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_secs(9);

/// Slots that want permits, and the permits that they hold.
struct World {
    permits: Permits,
    /// The slot of a claim is in the shard of this remainder.
    shards: usize,
    /// The limit of a host.
    per_host: u32,
    claims: Vec<Claim>,
    /// By claim: the attempts that its slot would still begin.
    wants: Vec<u32>,
    now: Moment,
}

/// A hook of one of four accounts, which belong to two tenants, with its receiver on one of three hosts.
fn hook(account: u128, host: u64) -> Hook {
    let uri = format!("http://h{host}.example/");
    Hook::new(HookId(100), AccountId(account), Trigger::Family(Family::ChannelCreate), uri)
}

impl World {
    fn new(total: usize, per_host: u32, shards: usize) -> Self {
        let mut permits = Permits::new(total, per_host, shards);
        let claims = (0..SLOTS as u64)
            .map(|n| {
                let account = u128::from(n % 4);
                Claim::new(permits.holders_of(&hook(account, n % 3), AccountId(account % 2)))
            })
            .collect();
        Self {
            permits,
            shards,
            per_host,
            claims,
            wants: vec![0; SLOTS],
            now: Moment::from_micros(1_760_000_000_000_000),
        }
    }

    fn may_begin(&self, at: usize) -> bool {
        self.wants[at] > 0 && self.claims[at].held() < OWN
    }

    fn name(&self, at: usize) -> SlotName {
        SlotName { number: at / self.shards, shard: at % self.shards }
    }

    fn make_ready(&mut self, at: usize) {
        self.permits.make_ready(self.name(at), &mut self.claims[at]);
        self.pump();
    }

    /// What the engines do: each takes its turns, then those that have been offered a permit.
    fn pump(&mut self) {
        for shard in 0..self.shards {
            self.pump_shard(shard);
        }
        while let Some(shard) = (0..self.shards).find(|shard| self.permits.has_offers(*shard)) {
            self.pump_shard(shard);
        }
    }

    fn pump_shard(&mut self, shard: usize) {
        let mut turns = 0;
        while let Some(slot) = self.permits.next(shard, self.now) {
            turns += 1;
            assert!(turns < 1_000, "it comes to rest");
            assert_eq!(slot.shard, shard, "a shard gets its own slots only");
            let at = slot.number * self.shards + shard;
            self.permits.stop_waiting(&mut self.claims[at]);
            self.take_turn(slot, at);
        }
    }

    /// A slot starts a few attempts, as in an engine.
    fn take_turn(&mut self, slot: SlotName, at: usize) {
        for _ in 0..IN_A_ROW {
            if !self.may_begin(at) {
                return self.permits.pass_on(&self.claims[at]);
            }
            match self.permits.take_in_turn(slot, &mut self.claims[at], false, self.now) {
                Ok(()) => self.wants[at] -= 1,
                Err(refusal) => {
                    let first = self.claims[at].held() == 0;
                    assert!(refusal != Refusal::Host || !first, "a first permit is not a shared one");
                    assert!(refusal != Refusal::First || first);
                    self.permits.park(slot, &mut self.claims[at], refusal, self.now);
                    return self.permits.pass_on(&self.claims[at]);
                }
            }
        }
        self.permits.make_ready(slot, &mut self.claims[at]);
    }

    fn end(&mut self, at: usize, took: Duration) {
        if self.claims[at].held() > 0 {
            self.now += took;
            self.permits.give_back(self.name(at), &mut self.claims[at], self.now, took);
            self.make_ready(at);
        }
    }

    fn check(&self) {
        let held: u32 = self.claims.iter().map(Claim::held).sum();
        assert_eq!(self.permits.in_flight(), held as usize);
        let of_shards: usize = (0..self.shards).map(|shard| self.permits.in_flight_of(shard)).sum();
        assert_eq!(of_shards, held as usize);
        for (at, claim) in self.claims.iter().enumerate() {
            let unused = self.may_begin(at) && self.permits.admit(claim, false, self.now).is_ok();
            assert!(!unused, "a permit is free that slot {at} could use: {claim:?}");
            let holders = claim.holders();
            let on_host =
                self.claims.iter().filter(|other| other.holders().on_host.host == holders.on_host.host);
            let young: u32 = on_host.map(|other| other.young(self.now)).sum();
            assert!(!claim.waits_for_first() || young >= self.per_host, "slot {at} waits for nothing");
            let sum = |is: &dyn Fn(&Claim) -> bool, held: &dyn Fn(u32) -> u32| {
                self.claims.iter().filter(|other| is(other)).map(|other| held(other.held())).sum::<u32>()
            };
            let of_tenant = sum(&|other| other.holders().tenant == holders.tenant, &|held| held);
            let of_account = sum(&|other| other.holders().account == holders.account, &|held| held);
            let of_host = sum(&|other| other.holders().on_host.host == holders.on_host.host, &|held| {
                held.saturating_sub(1)
            });
            assert_eq!(self.permits.held_at(holders), (of_tenant, of_account, of_host));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Want(usize, u32),
    End(usize, Duration),
    Limit(usize, u32),
    /// Time passes.
    Wait(u64),
    Move(usize, u128, u64),
    /// A shard starts nothing for a moment, because its ledger has no room.
    Decline(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..SLOTS, 1..6_u32).prop_map(|(at, count)| Step::Want(at, count)),
        6 => (0..SLOTS, prop_oneof![Just(QUICK), Just(SLOW)]).prop_map(|(at, took)| Step::End(at, took)),
        1 => (1..40_usize, 1..12_u32).prop_map(|(total, per_host)| Step::Limit(total, per_host)),
        2 => (1..80_u64).prop_map(Step::Wait),
        1 => (0..3_usize).prop_map(Step::Decline),
        1 => (0..SLOTS, 0..4_u128, 0..3_u64).prop_map(|(at, account, host)| Step::Move(at, account, host)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_permit_is_left_unused_and_all_are_counted(
        total in 1..40_usize,
        per_host in 1..12_u32,
        shards in 1..4_usize,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(total, per_host, shards);
        for step in steps {
            match step {
                Step::Want(at, count) => {
                    world.wants[at] += count;
                    world.make_ready(at);
                }
                Step::End(at, took) => world.end(at, took),
                Step::Wait(ms) => {
                    world.now += Duration::from_millis(ms);
                    world.pump();
                }
                Step::Limit(total, per_host) => {
                    world.per_host = per_host;
                    world.permits.limit_to(total, per_host);
                    for at in 0..SLOTS {
                        world.permits.ask_again(world.name(at), &mut world.claims[at]);
                        world.permits.make_ready(world.name(at), &mut world.claims[at]);
                    }
                    world.pump();
                }
                Step::Decline(shard) => {
                    world.permits.decline(shard % shards, world.now);
                    world.pump();
                }
                Step::Move(at, account, host) => {
                    let holders = world.permits.holders_of(&hook(account, host), AccountId(account % 2));
                    world.permits.move_to(world.name(at), &mut world.claims[at], holders);
                    world.make_ready(at);
                }
            }
            world.check();
        }
        // When all attempts have ended, every slot has had what it wanted.
        for _ in 0..2_000 {
            (0..SLOTS).for_each(|at| world.end(at, QUICK));
        }
        prop_assert_eq!(&world.wants, &vec![0; SLOTS]);
        world.check();
    }
}

/// Hooks of one account on one host.
fn neighbours(count: u64, total: usize, per_host: u32) -> World {
    neighbours_in(2, count, total, per_host)
}

fn neighbours_in(shards: usize, count: u64, total: usize, per_host: u32) -> World {
    let mut world = World::new(total, per_host, shards);
    world.permits = Permits::new(total, per_host, shards);
    world.claims =
        (0..count).map(|_| Claim::new(world.permits.holders_of(&hook(1, 1), AccountId(1)))).collect();
    world.wants = vec![0; world.claims.len()];
    world
}

#[test]
fn a_hook_gets_its_first_permit_while_its_neighbours_hold_all_of_their_host() {
    let mut world = neighbours(20, 1_000, 8);
    for at in 0..19 {
        world.wants[at] = OWN;
        world.make_ready(at);
    }
    assert_eq!(
        world.permits.in_flight(),
        8 + 7,
        "as many young first permits as one host may have, and its shared ones"
    );
    for _ in 0..2 {
        world.now += YOUNG + Duration::from_millis(1);
        world.pump();
    }
    assert_eq!(world.permits.in_flight(), 19 + 7, "those that hang do not count any more");
    world.wants[19] = 1;
    world.make_ready(19);
    assert_eq!(world.claims[19].held(), 1);
}

/// Twenty quick hooks on a host with eight permits. Returns what each holds when all of them want more.
fn held_in_a_crowd(took: Duration) -> Vec<u32> {
    let mut world = neighbours_in(1, 20, 1_000, 8);
    for at in 0..20 {
        world.wants[at] = 1;
        world.make_ready(at);
        world.end(at, took);
    }
    for at in 0..20 {
        world.wants[at] = 100;
        // In an engine, many results come at once; only then do the turns begin.
        world.permits.make_ready(world.name(at), &mut world.claims[at]);
    }
    for _ in 0..3 {
        world.pump();
        world.check();
        let busy: Vec<usize> = (0..20).filter(|at| world.claims[*at].held() > 0).collect();
        world.now += QUICK;
        for at in busy {
            while world.claims[at].held() > 0 {
                world.permits.give_back(world.name(at), &mut world.claims[at], world.now, took);
            }
            world.permits.make_ready(world.name(at), &mut world.claims[at]);
        }
    }
    world.pump();
    world.check();
    world.claims.iter().map(Claim::held).filter(|held| *held > 0).collect()
}

#[test]
fn in_a_crowd_a_quick_hook_starts_a_few_attempts_in_its_turn_and_a_slow_one_starts_one() {
    assert_eq!(held_in_a_crowd(QUICK), [4, 4]);
    assert_eq!(held_in_a_crowd(SLOW), [1; 8]);
}

#[test]
fn permits_that_hanging_neighbours_give_back_go_to_the_hook_that_has_held_least() {
    let mut world = neighbours(20, 1_000, 8);
    for at in 0..19 {
        world.wants[at] = 100;
        world.make_ready(at);
    }
    for _ in 0..3 {
        world.now += SLOW / 3;
        world.pump();
    }
    world.wants[19] = 100;
    world.make_ready(19);
    assert_eq!(world.claims[19].held(), 1);
    // The hooks that hold more than one permit give them back one after another.
    while let Some(at) = (0..19).find(|at| world.claims[*at].held() > 1) {
        world.permits.give_back(world.name(at), &mut world.claims[at], world.now, SLOW);
        world.make_ready(at);
        if world.claims[19].held() == OWN {
            return;
        }
    }
    panic!("the quick hook holds {}", world.claims[19].held());
}

#[test]
fn slow_hooks_leave_permits_of_the_total_to_a_quick_one_that_holds_none() {
    let mut world = neighbours(100, 64, 8);
    for at in 0..99 {
        world.claims[at] = Claim::new(world.permits.holders_of(&hook(1, at as u64), AccountId(1)));
        world.wants[at] = 1;
        world.make_ready(at);
        world.end(at, SLOW);
    }
    world.wants[99] = 1;
    world.make_ready(99);
    world.end(99, QUICK);
    for at in 0..99 {
        world.wants[at] = 1;
        world.make_ready(at);
    }
    assert_eq!(world.permits.in_flight(), 56, "an eighth stays free");
    world.wants[99] = 1;
    world.make_ready(99);
    assert_eq!(world.claims[99].held(), 1);
    world.end(3, SLOW);
    world.check();
}
