//! Where terms are: each once, with its number.

use super::{Kind, Node, Term, apply, mask};
use std::collections::HashMap;

/// All terms.
#[derive(Default)]
pub struct Pool {
    nodes: Vec<Node>,
    index: HashMap<Node, Term>,
    names: Vec<String>,
    variables: HashMap<(String, u8), Term>,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Pool {
        Pool::default()
    }

    /// The node of a term.
    pub fn node(&self, t: Term) -> Node {
        self.nodes[t.0 as usize]
    }

    /// Its width in bits.
    pub fn width(&self, t: Term) -> u8 {
        self.node(t).width
    }

    /// Its value, if it is one.
    pub fn constant(&self, t: Term) -> Option<u64> {
        match self.node(t).kind {
            Kind::Const(c) => Some(c),
            _ => None,
        }
    }

    /// Number of terms.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Name of a variable, by its number.
    pub fn name(&self, variable: u32) -> &str {
        &self.names[variable as usize]
    }

    pub(super) fn intern(&mut self, kind: Kind, width: u8, operands: &[Term]) -> Term {
        let mut args = [Term(0); 3];
        args[..operands.len()].copy_from_slice(operands);
        let node = Node {
            kind,
            width,
            args,
            len: operands.len() as u8,
        };
        if let Some(t) = self.index.get(&node) {
            return *t;
        }
        let t = Term(self.nodes.len() as u32);
        self.nodes.push(node);
        self.index.insert(node, t);
        t
    }

    /// The variable of this name and width.
    pub fn var(&mut self, name: &str, width: u8) -> Term {
        let key = (name.to_string(), width);
        if let Some(t) = self.variables.get(&key) {
            return *t;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_string());
        let t = self.intern(Kind::Var(number), width, &[]);
        self.variables.insert(key, t);
        t
    }

    /// A value.
    pub fn val(&mut self, value: u64, width: u8) -> Term {
        self.intern(Kind::Const(value & mask(width)), width, &[])
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) -> Term {
        self.val(u64::from(value), 1)
    }

    /// Builds without simplification, but for values.
    pub(super) fn build(&mut self, kind: Kind, width: u8, args: &[Term]) -> Term {
        let values: Option<Vec<(u64, u8)>> = args
            .iter()
            .map(|a| self.constant(*a).map(|c| (c, self.width(*a))))
            .collect();
        if let Some(values) = values {
            return self.val(apply(kind, width, &values), width);
        }
        self.intern(kind, width, args)
    }

    /// The terms below `roots`, operands first.
    pub fn reachable(&self, roots: &[Term]) -> Vec<Term> {
        let mut seen = std::collections::HashSet::new();
        let mut out = Vec::new();
        let mut stack: Vec<(Term, bool)> = roots.iter().map(|r| (*r, false)).collect();
        while let Some((t, done)) = stack.pop() {
            if done {
                out.push(t);
            } else if seen.insert(t) {
                stack.push((t, true));
                stack.extend(self.node(t).args().iter().map(|a| (*a, false)));
            }
        }
        out
    }

    /// Names and widths of the variables below `roots`.
    pub fn variables(&self, roots: &[Term]) -> Vec<(String, u8)> {
        self.reachable(roots)
            .into_iter()
            .filter_map(|t| match self.node(t).kind {
                Kind::Var(v) => Some((self.name(v).to_string(), self.width(t))),
                _ => None,
            })
            .collect()
    }

    /// Values of terms, with `variable` giving those of the variables (by name and width).
    pub fn evaluate(&self, roots: &[Term], variable: &dyn Fn(&str, u8) -> u64) -> Vec<u64> {
        let mut values: HashMap<Term, u64> = HashMap::new();
        for t in self.reachable(roots) {
            let n = self.node(t);
            let value = match n.kind {
                Kind::Var(v) => variable(self.name(v), n.width) & mask(n.width),
                kind => {
                    let args: Vec<(u64, u8)> = n
                        .args()
                        .iter()
                        .map(|a| (values[a], self.width(*a)))
                        .collect();
                    apply(kind, n.width, &args)
                }
            };
            values.insert(t, value);
        }
        roots.iter().map(|r| values[r]).collect()
    }

    /// A term as text, for messages.
    pub fn show(&self, t: Term) -> String {
        self.show_to(t, 6)
    }

    fn show_to(&self, t: Term, depth: u32) -> String {
        let n = self.node(t);
        match n.kind {
            Kind::Var(v) => self.name(v).to_string(),
            Kind::Const(c) => format!("{c:#x}"),
            _ if depth == 0 => "...".to_string(),
            kind => {
                let args: Vec<String> = n
                    .args()
                    .iter()
                    .map(|a| self.show_to(*a, depth - 1))
                    .collect();
                format!("{kind:?}:{}({})", n.width, args.join(", "))
            }
        }
    }
}
