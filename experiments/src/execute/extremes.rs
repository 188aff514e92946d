//! What the float model of a run shows of the hardness of its layers.

use fhe_model::calibration::{Extents, Interval};
use fhe_model::{Location, Matrix, PromptBlock, Site};

use crate::record::Extremes;

impl Extremes {
    /// Of intervals that were seen on a block. The peak of the residual is not among them: [`Extremes::see`] looks for it.
    pub(super) fn of(extents: &Extents) -> Self {
        let at = |sites: &[Site], measure: &dyn Fn(&Interval) -> f64| {
            let seen = extents.iter().filter(|(location, _)| sites.contains(&location.site));
            seen.flat_map(|(_, intervals)| intervals)
                .filter(|interval| !interval.is_empty())
                .map(measure)
                .fold(0.0, f64::max)
        };
        let width = |interval: &Interval| interval.hi - interval.lo;
        let magnitude = |interval: &Interval| interval.magnitude();
        Self {
            score_span: at(&[Site::Score], &width),
            row_maximum_width: at(&[Site::ScoreRowMaximum], &width),
            silu_input: at(&[Site::Gate], &magnitude),
            mean_square_ratio: at(&[Site::AttentionMeanSquare, Site::FfnMeanSquare], &|interval| {
                interval.hi / interval.lo
            }),
            residual_peak: 0.0,
            down_output: at(&[Site::DownProjection], &magnitude),
        }
    }

    /// Looks at a tensor that passes by, for the peak of the residual.
    pub(super) fn see(&mut self, location: Location, tensor: &Matrix, block: &PromptBlock) {
        if !matches!(location.site, Site::Embedding | Site::ResidualAfterAttention | Site::ResidualAfterFfn) {
            return;
        }
        for position in (0..block.size()).filter(|&position| block.is_live(position) && !block.is_prefix(position)) {
            let column = tensor.column(position);
            let squares = column.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            let rms = (squares / column.len() as f64).sqrt();
            let peak = column.iter().fold(0.0_f64, |peak, &value| peak.max(f64::from(value).abs()));
            self.residual_peak = self.residual_peak.max(peak / rms.max(f64::MIN_POSITIVE));
        }
    }
}

#[cfg(test)]
mod tests {
    use fhe_model::calibration::Recorder;
    use fhe_model::{Config, Observer};

    use super::*;

    #[test]
    fn extremes_are_those_of_live_positions() {
        let json = r#"{ "model_type": "llama", "hidden_size": 4, "intermediate_size": 2, "num_attention_heads": 1, "num_hidden_layers": 1, "vocab_size": 9 }"#;
        let config = Config::parse(json, std::path::Path::new("config.json")).unwrap();
        let block = PromptBlock::new(&[vec![1, 2]], 2, &config).unwrap();
        let mut recorder = Recorder::new(&config);
        let mut see = |site: Site, rows: usize, values: &[f32]| {
            recorder.observe(site.in_layer(0), &Matrix::new(rows, 2, values.to_vec()).unwrap(), &block);
        };
        see(Site::Gate, 2, &[1.0, -7.0, 3.0, 2.0]);
        see(Site::DownProjection, 1, &[-40.0, 2.0]);
        see(Site::FfnMeanSquare, 1, &[0.5, 16.0]);
        see(Site::AttentionMeanSquare, 1, &[1.0, 2.0]);
        see(Site::ScoreRowMaximum, 1, &[-1.0, 4.0]);
        // Keys by queries: the second key is masked for the first query.
        see(Site::Score, 2, &[-3.0, 5.0, 99.0, 4.0]);
        let mut extremes = Extremes::of(recorder.extents());
        // One channel of four: twice the root mean square.
        extremes.see(
            Site::Embedding.outside_layers(),
            &Matrix::new(4, 2, vec![3.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]).unwrap(),
            &block,
        );
        let expected = Extremes {
            score_span: 8.0,
            row_maximum_width: 5.0,
            silu_input: 7.0,
            mean_square_ratio: 32.0,
            residual_peak: 2.0,
            down_output: 40.0,
        };
        assert_eq!(extremes, expected);
    }
}
