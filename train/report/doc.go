// Package report says how good a classifier is and how its training went: as
// numbers, JSON and CSV, as pictures, and as event files for TensorBoard.
//
// An [Evaluation] is the measures of a model over labelled images; an [Epoch] is
// a line of results.csv. Every file appears complete or not at all, event files
// aside: those grow while the training runs.
package report
