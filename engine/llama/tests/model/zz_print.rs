
use std::path::Path;
use fhe_model::calibration::*;
use fhe_model::*;
#[test]
fn print() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/models/tiny-llama");
    let weights = Weights::open(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"), weights.config()).unwrap();
    let corpus = |name: &str| Corpus::from_text(&std::fs::read_to_string(folder.join(name)).unwrap(), &tokenizer).unwrap();
    let model = FloatModel::new(&weights);
    let start = std::time::Instant::now();
    let (c, h) = (corpus("calibration.txt"), corpus("heldout.txt"));
    println!("{:?} tokens {} {}", weights.config(), c.tokens().len(), h.tokens().len());
    for windows in [24, 96, 384] {
    let plan = WindowPlan { windows, ..WindowPlan::default() };
    let ranges = calibrate(&model, &c, &plan, Margins::default(), |_, _| ()).unwrap();
    println!("calibrate {windows}: {:?}", start.elapsed());
    ranges.save(Path::new("/tmp/ranges.toml")).unwrap();
    if windows == 96 { println!("{:#?}", ranges.model()); println!("{:#?}", ranges.clone().with_margins(Margins{cover_masked_scores: true, ..Margins::default()}).unwrap().model().layers.iter().map(|l| l.score_half_width).collect::<Vec<_>>()); }
    let hp = WindowPlan { windows: 384, ..plan };
    let v = ranges.validate(&model, &h, &hp, |_, _| ()).unwrap();
    println!("{windows}: default margins outside {} of {}", v.windows_outside, v.windows);
    for (s, e) in v.sites { if e.above + e.below > 0 { println!("   {s}: {e:?}"); } }
    let v = ranges.with_margins(Margins::NONE).unwrap().validate(&model, &h, &hp, |_, _| ()).unwrap();
    println!("{windows}: no margins outside {} of {}", v.windows_outside, v.windows);
    for (s, e) in v.sites { if e.above + e.below > 0 { println!("   {s}: {e:?}"); } }
    }
}
