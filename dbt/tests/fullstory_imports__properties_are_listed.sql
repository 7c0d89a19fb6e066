{#- Finds events without a model, and properties that their model lacks. -#}
{{ config(severity='warn') }}

with found as (

    select distinct kind, name, property
    from {{ ref('fullstory_imports__properties') }}
    where name <> '' or kind = 'users'

),

listed as (

    {{ listed_properties() }}

),

models as (

    select kind, name, count(*) as number_of_columns
    from listed
    group by kind, name

)

select found.kind, found.name, found.property, case when models.kind is null then 'no model' else 'no column' end as problem
from found
left join models on models.kind = found.kind and models.name = found.name
left join listed on listed.kind = found.kind and listed.name = found.name and listed.property = found.property
where listed.kind is null
    and (models.kind is not null or found.property = '')
    and coalesce(models.number_of_columns, 0) <= 1000 -- `propose` adds no more
    and found.kind in (select kind from listed)
