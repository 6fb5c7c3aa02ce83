//! Regular expressions from the `regex-automata` crate: lazy DFA, NFA simulation with captures, full DFA.

use alloc::vec::Vec;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::{Anchored, Input, dfa::Automaton, dfa::dense};
use support::rng::text;
use support::{Checksum, Rng};

const PATTERNS: [&str; 5] = [
    r"(?-u:\b)[a-z]+(?:ed|ing|er)(?-u:\b)",
    r"(?i-u:\b)(?i)TRACE\s+(\w+)",
    r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})",
    r"[\w.]+@[\w.]+\.(?:com|org)",
    r"(?m)^(?:the|a) .*witness",
];

fn haystack(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..24 {
        out.extend(text(rng, 300).into_iter().filter(u8::is_ascii));
        match rng.below(3) {
            0 => out.extend_from_slice(b" 192.168.17.4 "),
            1 => out.extend_from_slice(b" some.one@example.org "),
            _ => out.extend_from_slice(b"\nthe last witness of a chunk\n"),
        }
    }
    out
}

/// One iteration searches 8 KiB with five patterns in three engines.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(5);
    let regexes = PATTERNS.map(|pattern| Regex::new(pattern).expect("a valid pattern"));
    let all = Regex::new_many(&PATTERNS).expect("valid patterns");
    let nfa = PikeVM::new(PATTERNS[2]).expect("a valid pattern");
    let mut cache = nfa.create_cache();
    let mut captures = nfa.create_captures();
    let dfa = dense::DFA::new(r"(?-u)[0-9]+\.[0-9]+|[a-z]+@").expect("a valid pattern");
    for _ in 0..iterations {
        let text = haystack(&mut rng);
        for regex in &regexes {
            for found in regex.find_iter(&text) {
                sum.word(found.start() as u64);
                sum.word(found.end() as u64);
            }
        }
        sum.word(
            all.find_iter(&text)
                .map(|found| found.pattern().as_u64() + 1)
                .sum(),
        );

        let mut at = 0;
        while at < text.len().min(2048) {
            nfa.search(&mut cache, &Input::new(&text).range(at..), &mut captures);
            let Some(whole) = captures.get_group(0) else {
                break;
            };
            for group in captures.iter().flatten() {
                sum.bytes(&text[group.range()]);
            }
            at = whole.end;
        }

        for start in (0..text.len()).step_by(97) {
            let input = Input::new(&text).range(start..).anchored(Anchored::Yes);
            if let Ok(Some(half)) = dfa.try_search_fwd(&input) {
                sum.word(half.offset() as u64);
            }
        }
    }
    sum.value()
}
