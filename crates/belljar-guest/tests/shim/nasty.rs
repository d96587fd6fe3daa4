#![allow(warnings)]
extern crate macros;

pub mod helper {
    pub fn f(x: i32) -> i32 {
        x
    }
    pub struct S<'a, T: ?Sized>(pub &'a T);
}

macro_rules! through {
    ($e:expr, $t:ty, $l:lifetime, $i:ident, $lit:literal, $b:block, $p:path, $pat:pat, $tt:tt, $v:vis, $m:meta) => {
        macros::NAME! {
            #[$m]
            $v fn $i<$l>(x: &$l $t) -> i32 {
                let y = $crate::helper::f($e * 2);
                let $pat = ($lit, $lit) else { return 0 };
                let z = $p(3) $tt 4;
                $b
            }
        }
        #[macros::NAME_attr]
        #[$m]
        mod inner {
            use super::*;
            $v fn $i<$l>(x: &$l $t) -> i32 {
                let local = $e;
                $crate::helper::f(local)
            }
        }
    };
}
through!(1 + 2, i32, 'a, name, -7, { 5 }, helper::f, (a, b), +, pub(crate), doc = "it's");

macros::NAME! {
    /// An outer doc comment with 'quotes', "more" and \backslash.
    /** And a block
    of two lines. */
    pub struct r#type<'a, 'été: 'a, T, const N: usize> where T: Clone + 'a {
        #[doc = "x"]
        pub r#fn: &'a T,
        été: [u8; N],
        naïve: Option<Vec<Vec<&'été u8>>>,
    }
}

#[macros::NAME_attr]
impl<'a, T: Clone> helper::S<'a, T> {
    #![allow(unused)]
    /// Methods.
    fn puncts(mut x: u64, y: &&str) -> Result<(), ()> {
        x <<= 1; x >>= 2; x += 1; x ^= 3;
        let c = || x..=10; let d = |a: u8, b| a & b | a ^ b;
        let e = x < 1 && x > 2 || !true; let f = &&x; let g = - - 1; let h = x-1; let i = -1;
        let t: Vec<Vec<u8>> = vec![vec![0; 3]; 2];
        'outer: loop { break 'outer; }
        'r#raw: loop { break 'r#raw }
        match x { 0..=9 | 11 => {} n @ 12.. if n != 13 => {}, _ => () }
        Some(0)?;
        Ok(())
    }
    async fn literals() {
        let _ = (0xff_u8, 1_000i64, 1e10, 1.0f32, 2., 0b1010, 0o17, 1usize, 12345678901234567890123u128);
        let _ = ("plain", "esc \" \n \u{e9} \
            continued", r"raw", r#"raw "quoted""#, b"\x00\xff", br#"b"#, c"see", cr"raw c");
        let _ = ('a', '\'', '\u{1F600}', b'a', b'\'', 'é', "日本", 1.e5.0.1);
        let tuple = 1; tuple.0.1 .2; tuple.b.c; tuple.0;
    }
}

#[macros::NAME_attr]
mod nested {
    //! Inner doc comment.
    #![allow(dead_code)]
    pub mod deeper {
        #[derive(Debug, Clone)]
        pub enum E { A, B(u8), C { x: i32 } }
        macro_rules! local { ($($x:tt)*) => { $($x)* }; }
        local! { fn f() -> E { E::A } }
    }
}

#[derive(macros::DERIVE)]
#[help(a = 1, "b", $c)]
/// Documented.
struct Derived<'a, T: 'a, const N: usize = 3> where T: Sized {
    /// field
    #[help] #[r#type] pub(in crate) a: &'a T,
    b: [u8; N], c: fn(&'a u8) -> Box<dyn Fn(u8) -> u8 + 'a>,
}

#[derive(macros::DERIVE)]
enum Enum { #[help] A = 1 << 3, B, C }

// Names from both sides of a macro call.
fn expression(x: i32) -> i32 {
    let hygiene = 3;
    let y = macros::NAME!(hygiene + x * 2);
    y + hygiene
}
