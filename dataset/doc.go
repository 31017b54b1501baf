// Package dataset opens labelled images, to train with ([Open]) or to measure a
// model with ([OpenEval]). Both take a path, and see by what is there which form the
// data has:
//
//   - a folder with a folder of images per class, as torchvision's ImageFolder;
//   - a folder with a train and a val part (or validation, valid) of such, and perhaps
//     a test part, in capital or small letters, and as people call them: training_set,
//     Test Images;
//   - a table (CSV or TSV) with a row per image, or a folder with train.csv and val.csv,
//     or with images and the one table that lists them (_classes.csv, metadata.csv,
//     labels.csv, or any);
//   - a folder with the IDX files of the MNIST family, .gz or not; their test part is
//     for validation;
//   - to measure: a flat folder of images with a file of their classes, as ImageNet's
//     validation images come.
//
// # Folders
//
// What a file is, its ending says, or where that is no image's, its first bytes.
// Hidden files and folders, and those that systems leave behind, don't count
// ([Hidden]). Links are followed. Classes and images are in the order of their names.
//
// # Tables
//
// A table may have commas, semicolons or tabs between its columns, any ends of lines,
// and be in UTF-8 or, with a byte order mark, in UTF-16. Its first line names the
// columns, in any order: the path (path, file, filename, image, id, ...), the class
// (label, class, category, target, breed, ...) or in its place a column of 0 and 1 per
// class, and perhaps the part (split, or is_valid). Without such a line the columns are
// told by what is in them. Other columns don't count.
//
// Paths are relative to the table, or to a folder beside it. They may have
// backslashes, no endings, accents in another form than on the disk, or a beginning
// that is another machine's. A row whose image isn't there stays in the set: reading it
// says so.
//
// # What is assumed
//
// Whatever isn't plain is said in [Set.Notes]: which columns were taken for what, which
// folders are not used, what a model without names leaves open. Files that are no images
// that can be read, such as HEIC and PDF, are counted in [Set.Skipped]. What has several
// meanings, such as classes beside train/ or an image with two classes, is refused with
// an error that says what is there and what to do.
//
// # Names of classes
//
// The package also names the classes that a network tells apart: ImageNet's, built in,
// or those of a file ([ReadLabels]). A list of labels has one name per class, in the
// order of the network's outputs. Upper and lower case are alike, and spaces and
// underscores, unless that leaves a choice; accents compare in one form (Unicode's NFC).
package dataset
