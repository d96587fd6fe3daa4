//! What a macro sees of the compiler's `proc_macro` and of belljar's is the same: the compiler itself runs both
//! (`tests/oracle/`), over inputs that only it can make.

use oracle::compare;

type Found = &'static [(&'static str, &'static str, &'static str)];

#[track_caller]
fn check(found: Found) {
    assert!(!found.is_empty());
    let mut wrong = Vec::new();
    for (name, compiler, belljar) in found {
        let mut lines = compiler.lines().zip(belljar.lines()).enumerate();
        if let Some((n, (theirs, ours))) = lines.find(|(_, (theirs, ours))| theirs != ours) {
            wrong.push(format!("{name}, line {n}:\n compiler: {theirs}\n belljar:  {ours}"));
        } else if compiler != belljar {
            wrong.push(format!("{name}: one is longer\n compiler: {compiler}\n belljar:  {belljar}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing() {
    check(&compare! {});
}

#[test]
fn an_item() {
    check(&compare! {
        /// It's a "doc" comment.
        #[derive(Clone)]
        #[serde(rename = "x", with = "a::b")]
        pub(crate) struct S<'a, T: 'a + ?Sized, const N: usize = { -1 }> where T: Fn(&'a str) -> u8 {
            /** block */
            r#type: &'a [T; N],
            b: (u8, f64), // comment
        }
    });
}

#[test]
fn expressions() {
    check(&compare! {
        let x = a.b(1, 2)[3].0 .1 + -1; x <<= 2 >> 3; f::<u8>()?; !y && z || w; |a| a..=b; 'outer: loop { break 'outer }
        "text\n" b"bytes" c"c" r#"raw"# br"b" 'c' b'\xff' 1_000u64 0xff 1.5e-3f32 1. () {} [] { } {x} if !x {} m!(a) m! {b} $x $crate
        r#fn::r#async() é 漢字 // end
    });
}

#[test]
fn operators() {
    check(&compare! {
        = < <= == != >= > && || ! ~ + - * / % ^ & | << >> += -= *= /= %= ^= &= |= <<= >>= @ . .. ... ..= , ; : :: -> <- => # $ ?
        =< <==>! a=b a= b a =b a.b a . b a::b a :: b -> x->y &&mut a & &mut b <'a> 'a 'b: #[a] # [a] #![a] $ a $a
    });
}

#[test]
fn long_lines() {
    check(&compare! {
        pub fn a_function_with_a_long_name(first_argument: FirstType, second_argument: SecondType) -> Result<Value, Error> { let value = compute(first_argument, second_argument)?; Ok(value) }
        impl<T> Trait for T { fn f() { { { { { { { { { { { { { { { { { { { { { { deep(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) } } } } } } } } } } } } } } } } } } } } } } }
    });
}

/// Hands tokens on as `macro_rules` variables: invisible groups, `$crate`, tokens of another place and hygiene.
macro_rules! through {
    ($e:expr, $t:ty, $p:pat, $i:ident, $l:lifetime, $lit:literal, $path:path, $v:vis, $b:block, $tt:tt, $item:item, $m:meta) => {
        compare! {
            $e * 2; $t, $p, $i $l $lit $path $v $b $tt $item #[$m] $crate::a { $e $i } let local = $lit;
        }
    };
}

#[test]
fn macro_variables() {
    check(&through!(
        1 + 2,
        Vec<u8>,
        Some(_),
        r#in,
        'a,
        -1,
        a::b::<C>,
        pub(crate),
        { x },
        [t t],
        /// doc
        fn f() {},
        doc = "m"
    ));
}

macro_rules! nested {
    ($e:expr) => {
        nested!(@ $e, $e + 1)
    };
    (@ $e:expr, $f:expr) => {
        compare! { $e; $f; f($e) }
    };
}

#[test]
fn nested_macro_variables() {
    check(&nested!(a.b()));
}
