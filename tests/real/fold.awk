# Folds the lines of cases that differ in their number alone: `NAME-0` and `NAME-2` become `NAME` and `0,2`.
{
  number = $1
  sub(/.*-/, "", number)
  sub(/-[0-9]+$/, "", $1)
  key = $2 OFS $3 OFS $4 OFS $5
  at = $1 SUBSEP key
  if (!(at in numbers)) {
    order[++count] = at
    line[at] = key
    name[at] = $1
    numbers[at] = number
  } else {
    numbers[at] = numbers[at] "," number
  }
}
END {
  for (i = 1; i <= count; i++) {
    at = order[i]
    text = name[at] OFS numbers[at] OFS line[at]
    sub(/\t+$/, "", text)
    print text
  }
}
