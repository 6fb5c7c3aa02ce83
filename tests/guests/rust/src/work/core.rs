//! What `core` and `alloc` themselves compile to: sorts, strings, formatting, dynamic dispatch, wide integers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use support::{Checksum, Rng};

fn sorts(rng: &mut Rng, sum: &mut Checksum) {
    let mut numbers: Vec<u64> = (0..600).map(|_| rng.next_u64() >> rng.below(60)).collect();
    let mut stable = numbers.clone();
    numbers.sort_unstable();
    stable.sort_by_key(|number| number % 64);
    assert!(numbers.is_sorted());
    sum.word(numbers[300]);
    sum.word(stable[10]);
    numbers.dedup();
    for probe in stable.iter().step_by(7) {
        sum.word(numbers.binary_search(probe).unwrap_or_else(|at| at) as u64);
    }
    let mut names: Vec<String> = (0..80).map(|_| format!("{:x}", rng.next_u64())).collect();
    names.sort();
    names.select_nth_unstable(40);
    sum.bytes(names[40].as_bytes());
}

fn strings(rng: &mut Rng, sum: &mut Checksum) {
    let mut line = String::new();
    for i in 0..30 {
        let number = rng.next_u64();
        line += &format!(
            "{i:>4}:{number:#018x}/{:+} {:?} ",
            number as i32,
            char::from_u32(number as u32 % 0x2000)
        );
    }
    let words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| !word.is_empty())
        .collect();
    let joined = words.join("\u{2192}").to_uppercase().replace("0X", "");
    sum.bytes(joined.as_bytes());
    sum.word(joined.chars().rev().filter(|c| c.is_alphanumeric()).count() as u64);
    sum.word(joined.find("SOME").map_or(0, |at| at as u64));
    let total: u64 = words
        .iter()
        .filter_map(|word| word.trim_end_matches(':').parse::<u64>().ok())
        .sum();
    sum.word(total);
}

trait Shape {
    fn area(&self) -> u64;
    fn grow(&mut self, by: u64);
}

struct Square(u64);
struct Oblong(u64, u64);
struct Many(Vec<Box<dyn Shape>>);

impl Shape for Square {
    fn area(&self) -> u64 {
        self.0.wrapping_mul(self.0)
    }
    fn grow(&mut self, by: u64) {
        self.0 += by;
    }
}

impl Shape for Oblong {
    fn area(&self) -> u64 {
        self.0.wrapping_mul(self.1)
    }
    fn grow(&mut self, by: u64) {
        self.1 += by / 2;
    }
}

impl Shape for Many {
    fn area(&self) -> u64 {
        self.0
            .iter()
            .map(|shape| shape.area())
            .fold(0, u64::wrapping_add)
    }
    fn grow(&mut self, by: u64) {
        self.0.iter_mut().rev().for_each(|shape| shape.grow(by));
    }
}

fn shapes(rng: &mut Rng, sum: &mut Checksum) {
    let mut all = Many(Vec::new());
    for _ in 0..60 {
        let (a, b) = (rng.below(100), rng.below(100));
        all.0.push(match rng.below(3) {
            0 => Box::new(Square(a)),
            1 => Box::new(Oblong(a, b)),
            _ => Box::new(Many(alloc::vec![
                Box::new(Square(b)),
                Box::new(Oblong(b, a))
            ])),
        });
    }
    for by in 0..10 {
        all.grow(by);
        sum.word(all.area());
    }
}

fn wide(rng: &mut Rng, sum: &mut Checksum) {
    for _ in 0..60 {
        let a = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let b =
            (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())) >> rng.below(120) | 1;
        let (quotient, remainder) = (a / b, a % b);
        assert!(quotient.wrapping_mul(b).wrapping_add(remainder) == a);
        let signed = (a as i128) / -((b >> 1) as i128 | 1);
        let shifted = a.rotate_left(rng.below(128) as u32) ^ (signed as u128) >> rng.below(128);
        sum.word(quotient as u64 ^ (shifted >> 64) as u64);
        sum.word(
            remainder as u64 ^ u64::from(a.leading_zeros() + b.trailing_zeros() + b.count_ones()),
        );
        sum.word(
            (a as u64)
                .checked_mul(b as u64)
                .unwrap_or((a as u64).swap_bytes()),
        );
        sum.word((a as i64).saturating_add(b as i64) as u64);
    }
}

struct Node {
    value: u64,
    children: Vec<Rc<RefCell<Node>>>,
}

fn tree(rng: &mut Rng, sum: &mut Checksum) {
    let leaf = |value| {
        Rc::new(RefCell::new(Node {
            value,
            children: Vec::new(),
        }))
    };
    let root = leaf(1);
    let mut nodes = alloc::vec![root.clone()];
    for value in 2..150 {
        let node = leaf(value);
        nodes[rng.below(nodes.len() as u64) as usize]
            .borrow_mut()
            .children
            .push(node.clone());
        nodes.push(node);
    }
    let mut queue = VecDeque::from([root]);
    while let Some(node) = queue.pop_front() {
        let node = node.borrow();
        sum.word(node.value);
        queue.extend(node.children.iter().cloned());
    }
}

/// One iteration goes once through everything.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(1);
    for _ in 0..iterations {
        sorts(&mut rng, &mut sum);
        strings(&mut rng, &mut sum);
        shapes(&mut rng, &mut sum);
        wide(&mut rng, &mut sum);
        tree(&mut rng, &mut sum);
    }
    sum.value()
}
